"""The command line's file that `make up` writes."""

import stat
import tomllib
from pathlib import Path

import pytest

from opsweb.launch import client
from opsweb.launch.accounts import Account, caller


@pytest.fixture
def me(tmp_path: Path) -> Account:
    """Who runs the tests, with a home of their own."""
    return caller({"HOME": str(tmp_path)})


def test_the_file_is_read_by_its_owner_alone(me: Account) -> None:
    client.write(me, "http://localhost:8000", "ow_abc")
    file = client.path(me)
    assert tomllib.loads(file.read_text()) == {"url": "http://localhost:8000", "token": "ow_abc"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert client.url_of(me) == "http://localhost:8000"


def test_a_value_can_not_break_out_of_its_line() -> None:
    url = 'http://x/"\ntoken = "theirs'
    assert tomllib.loads(client.text(url, "mine")) == {"url": url, "token": "mine"}


def test_a_file_of_another_panel_stays(me: Account) -> None:
    client.write(me, "http://localhost:8001", "ow_abc")
    assert not client.remove(me, "http://localhost:8000")
    assert client.path(me).exists()
    assert client.remove(me, "http://localhost:8001")
    assert not client.path(me).exists()


def test_no_file_and_a_broken_file_are_told_apart(me: Account) -> None:
    assert client.url_of(me) == ""
    client.path(me).parent.mkdir(parents=True)
    client.path(me).write_text("not toml")
    assert client.url_of(me) != ""
