"""Directories, their owners and modes; the secret key; QEMU's version."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from opsweb.launch import host
from opsweb.launch.accounts import caller
from opsweb.launch.errors import LaunchError
from opsweb.launch.panel import Panel, recall, render, run_dir_of


def test_inv_10_the_unprivileged_user_can_replace_nothing_of_roots(panel: Callable[..., Panel]) -> None:
    """INV-10, INV-12: who may write a directory may rename what lies in it; root's never lies in the unprivileged user's."""
    table = {entry.path: entry for entry in host.directories(panel())}
    for entry in table.values():
        above = table.get(entry.path.parent)
        assert above is None or (above.owner == "root" and not above.mode & 0o022)


def test_root_can_open_the_database_on_a_stock_debian(panel: Callable[..., Panel]) -> None:
    """fs.protected_regular=2 keeps even root from opening another's file with O_CREAT in a sticky group-writable directory."""
    assert not any(entry.mode & stat.S_ISVTX for entry in host.directories(panel()))


def test_directories_are_made_and_mended(tmp_path: Path) -> None:
    panel = Panel(tmp_path, tmp_path / "state", tmp_path / "run", {})
    me = caller({})
    host.make_directories(panel, me, me)
    (panel.state / "panel.env").write_text(render({}))
    (panel.state / "db").chmod(0o700)
    host.make_directories(panel, me, me)
    for entry in host.directories(panel):
        assert stat.S_IMODE(entry.path.stat().st_mode) == entry.mode
    assert (panel.run / "redis.sock").readlink() == Path("redis/redis.sock")


def test_somebody_elses_directory_is_refused_and_left_alone(tmp_path: Path) -> None:
    """INV-22: `make clean-host` removes the state directory, so it must be ours from the start."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state/thesis.tex").write_text("x")
    panel = Panel(tmp_path, tmp_path / "state", tmp_path / "run", {})
    with pytest.raises(LaunchError, match="OPSWEB_STATE_DIR") as refused:
        host.make_directories(panel, caller({}), caller({}))
    assert refused.value.code == "foreign_state"
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["thesis.tex"]


def test_a_run_directory_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    """INV-22: OPSWEB_RUN_DIR=/run would lose everything there to `make clean-host`."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/other.pid").write_text("1")
    panel = Panel(tmp_path, tmp_path / "state", tmp_path / "run", {})
    with pytest.raises(LaunchError, match="OPSWEB_RUN_DIR") as refused:
        host.make_directories(panel, caller({}), caller({}))
    assert refused.value.code == "foreign_run"
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["other.pid"]
    assert not panel.state.exists()


def test_a_first_start_that_fails_leaves_directories_that_are_known_as_ours(tmp_path: Path) -> None:
    panel = Panel(tmp_path, tmp_path / "state", tmp_path / "run", {"OPSWEB_PORT": "8000"})
    host.make_directories(panel, caller({}), caller({}))
    host.make_directories(panel, caller({}), caller({}))
    assert run_dir_of(panel.run) == panel.state
    assert recall(panel.remembered) == {"OPSWEB_STATE_DIR": str(panel.state), "OPSWEB_RUN_DIR": str(panel.run)}


def test_the_secret_key_is_made_once_and_read_by_the_group_only(tmp_path: Path) -> None:
    panel = Panel(tmp_path, tmp_path, tmp_path / "run", {})
    host.make_secret_key(panel, caller({}))
    first = (tmp_path / "secret_key").read_text()
    host.make_secret_key(panel, caller({}))
    assert (tmp_path / "secret_key").read_text() == first
    assert len(first.strip()) >= 50
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o640


def test_no_secret_key_is_made_when_the_caller_brings_one(tmp_path: Path) -> None:
    key = tmp_path / "theirs"
    key.write_text("k" * 50)
    state = tmp_path / "state"
    state.mkdir()
    host.make_secret_key(Panel(tmp_path, state, tmp_path, {"SECRET_KEY_FILE": str(key)}), caller({}))
    assert list(state.iterdir()) == []


def test_a_secret_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="SECRET_KEY_FILE names /nonexistent/key"):
        host.make_secret_key(Panel(tmp_path, tmp_path, tmp_path, {"SECRET_KEY_FILE": "/nonexistent/key"}), caller({}))
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_whole_and_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    """SEC-C1: a link in place of the new file is removed, not written through."""
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / "key.new").symlink_to(victim)
    host.write(tmp_path / "key", "new", mode=0o600)
    assert (victim.read_text(), (tmp_path / "key").read_text()) == ("kept", "new")
    assert not (tmp_path / "key").is_symlink()


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright", (7, 2)),
        ("QEMU emulator version 10.0.2", (10, 0)),
        ("", None),
    ],
)
def test_qemu_version(text: str, version: tuple[int, int] | None) -> None:
    assert host.qemu_version(text) == version


@pytest.mark.parametrize(
    ("answer", "accepted"), [("QEMU emulator version 7.1.0", True), ("QEMU emulator version 7.0.9", False), ("?", False)]
)
def test_an_old_qemu_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, accepted: bool) -> None:
    program = tmp_path / host.QEMU
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    if accepted:
        host.check_qemu()
        return
    with pytest.raises(LaunchError, match=r"QEMU 7\.1 or newer") as refused:
        host.check_qemu()
    assert str(program) in refused.value.message
