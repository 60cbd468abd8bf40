"""Where the address and the token come from, and that a token goes to its own panel only."""

from collections.abc import Callable
from pathlib import Path

import pytest

from opsweb.cli import credentials
from opsweb.cli.problems import NotAllowed, Usage
from tests.unit.cli.called import Done
from tests.unit.cli.fake_state import State


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    file = tmp_path / ".config" / "opsweb" / "cli.toml"
    file.parent.mkdir(parents=True)
    file.write_text('url = "http://kept:8000"\ntoken = "ow_kept"\n')
    file.chmod(0o600)
    return file


def find(tmp_path: Path, url: str = "", token: str = "", **environ: str) -> tuple[tuple[str, str], list[str]]:
    warnings: list[str] = []
    found = credentials.find(url, token, environ, tmp_path, warnings.append)
    return (found.url, found.token), warnings


def test_the_file_of_make_up_is_enough(tmp_path: Path, kept: Path) -> None:
    assert find(tmp_path) == (("http://kept:8000", "ow_kept"), [])


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path, kept: Path) -> None:
    environ = {"OPSWEB_URL": "http://env:1/", "OPSWEB_TOKEN": "ow_env"}
    assert find(tmp_path, **environ)[0] == ("http://env:1", "ow_env")
    assert find(tmp_path, "http://flag:2", "ow_flag", **environ)[0] == ("http://flag:2", "ow_flag")


def test_the_files_token_is_never_sent_to_another_panel(tmp_path: Path, kept: Path) -> None:
    with pytest.raises(NotAllowed, match="no token for http://other:9"):
        find(tmp_path, OPSWEB_URL="http://other:9")


def test_a_file_that_others_can_read_is_named_with_the_mend(tmp_path: Path, kept: Path) -> None:
    kept.chmod(0o640)
    found, warnings = find(tmp_path)
    assert found[1] == "ow_kept"
    assert f"chmod 600 {kept}" in warnings[0]


def test_without_any_the_error_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="OPSWEB_URL and OPSWEB_TOKEN"):
        find(tmp_path)
    with pytest.raises(NotAllowed, match="OPSWEB_TOKEN"):
        find(tmp_path, OPSWEB_URL="http://a:1")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://a", "http://"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(Usage, match="no address"):
        find(tmp_path, url, "ow_x")


def test_a_broken_file_is_named(tmp_path: Path, kept: Path) -> None:
    kept.write_text("url = ")
    with pytest.raises(Usage, match=r"cli\.toml is not TOML"):
        find(tmp_path)


def test_the_token_does_not_show_when_credentials_are_printed() -> None:
    assert "secret" not in repr(credentials.Credentials("http://a", "secret"))


def test_a_wrong_token_is_exit_code_4(opsweb: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPSWEB_TOKEN", "ow_wrong")
    done = opsweb("me", "--json")
    assert done.code == 4
    assert done.json["code"] == "unauthenticated"


def test_nobody_at_the_address_is_exit_code_3(opsweb: Callable[..., Done], state: State) -> None:
    done = opsweb("me", "--url", "http://127.0.0.1:9")
    assert done.code == 3
    assert "http://127.0.0.1:9" in done.err
