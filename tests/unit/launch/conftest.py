"""A panel with fixed paths, for everything that is text; and a way to be nobody special where the tests run as root."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from opsweb.launch.accounts import call_as, of_uid
from opsweb.launch.panel import Panel

CLONE = Path(__file__).resolve().parents[3]
NOBODY = 65_534


def make_panel(**given: str) -> Panel:
    """A panel of `given` settings with the documented default directories."""
    return Panel(clone=Path("/srv/opsweb"), state=Path("/var/lib/opsweb"), run=Path("/run/opsweb"), given=given)


@pytest.fixture
def clone() -> Path:
    """The working copy that is tested."""
    return CLONE


@pytest.fixture
def panel() -> Callable[..., Panel]:
    """`panel(OPSWEB_PORT="8001")`."""
    return make_panel


@pytest.fixture
def unprivileged() -> Callable[[Callable[[], str]], str]:
    """Call a function as a user without rights of its own: root may read and write everything."""
    account = of_uid(NOBODY, NOBODY) if os.geteuid() == 0 else of_uid(os.geteuid(), os.getegid())
    return lambda function: call_as(account, function)


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with its file in `golden/`; `make golden` writes the file anew."""

    def compare(name: str, text: str) -> None:
        file = Path(__file__).with_name("golden") / name
        if os.environ.get("GOLDEN") == "write":
            file.write_text(text)
        assert text == file.read_text()

    return compare
