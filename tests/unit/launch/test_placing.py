"""Where the parts' code lies: the clone, or a copy when the unprivileged user can't read it or could write it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from opsweb.launch import placing, venv


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A clone with a file in each room and an environment."""
    clone = tmp_path / "clone"
    packages = venv.site_packages(venv.directory(clone))
    for file in ("manage.py", "pyproject.toml", "CHANGELOG.md", "LICENSE", "opsweb/__init__.py", "instances/__init__.py",
                 "networks/__init__.py", "templates/base.html", "static/a.css", "requirements.lock"):  # fmt: skip
        (clone / file).parent.mkdir(parents=True, exist_ok=True)
        (clone / file).write_text("x")
    (packages / "django").mkdir(parents=True)
    (packages / "django/__init__.py").write_text("")
    for path in tmp_path.parents:
        if path.name.startswith(("pytest-", "popen-")):  # pytest makes its own directories for one user's eyes
            path.chmod(0o755)
    for path in (tmp_path, clone, *clone.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield clone
    for path in (tmp_path, clone, *clone.rglob("*")):
        path.chmod(0o755)


def test_a_readable_clone_is_used_as_it_lies(small: Path, unprivileged: Callable[[Callable[[], str]], str]) -> None:
    assert unprivileged(lambda: placing.unfit(small)) == ""


@pytest.mark.parametrize(
    ("name", "mode", "word"), [("opsweb", 0o000, "read"), ("opsweb/__init__.py", 0o000, "read"), ("templates/base.html", 0o666, "write")]
)
def test_a_file_with_the_wrong_mode_is_named(
    small: Path, unprivileged: Callable[[Callable[[], str]], str], name: str, mode: int, word: str
) -> None:
    (small / name).chmod(mode)
    reason = unprivileged(lambda: placing.unfit(small))
    assert word in reason
    assert name in reason


def test_a_directory_above_that_could_be_swapped_is_named(small: Path, unprivileged: Callable[[Callable[[], str]], str]) -> None:
    """Who may write the directory above may put another clone in the place of this one."""
    small.parent.chmod(0o777)
    assert str(small.parent) in unprivileged(lambda: placing.unfit(small))


def test_root_finds_itself_able_to_write_everything(small: Path) -> None:
    """`unfit` judges for who runs it, so it must never be asked as root."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    assert "could write" in placing.unfit(small)


def test_the_fingerprint_sees_a_change_of_code_and_of_nothing_else(small: Path) -> None:
    before = placing.fingerprint(small)
    small.chmod(0o755)
    (small / "notes.txt").write_text("not read by a running panel")
    assert placing.fingerprint(small) == before
    (small / "manage.py").chmod(0o644)
    (small / "manage.py").write_text("changed")
    assert placing.fingerprint(small) != before
