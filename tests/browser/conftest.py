"""Chromium against a real panel on the fake host. Every page that a test opens must stay free of console errors and failed requests."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.seed import CAST
from tests.browser.stack import CLONE, Stack, running_stack
from tests.browser.window import Visit, chromium

OUTPUT = Path(os.environ.get("OPSWEB_TEST_OUTPUT", CLONE / "test-output")) / "browser"

expect.set_options(timeout=10_000)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The panel with the cast in the team `payments`; each test makes its own instances."""
    with running_stack() as running:
        facts = json.loads(running.seed(CAST).strip().splitlines()[-1])
        running.token, running.image = facts["token"], facts["image"]
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with chromium() as browser:
        yield browser


Visitor = Callable[..., Visit]


@pytest.fixture
def made(stack: Stack) -> Iterator[list[str]]:
    """Ids of instances that go when the test's windows are closed."""
    ids: list[str] = []
    yield ids
    for one in ids:
        with suppress(HTTPError):  # the test deleted it itself
            operation = stack.call("DELETE", f"instances/{one}/")["operation"]
            stack.call("GET", f"operations/{operation['id']}/?wait=25")


@pytest.fixture
def visit(stack: Stack, browser: Browser, made: list[str]) -> Iterator[Visitor]:
    """`visit("olga")`: a window of its own, signed in. `visit()`: nobody."""
    windows: list[Visit] = []

    def open_window(name: str = "", **options: Any) -> Visit:
        options.setdefault("viewport", {"width": 1440, "height": 1000})
        visit = Visit(browser.new_context(**options), stack.url)
        windows.append(visit)
        if name:
            visit.sign_in(name)
        return visit

    yield open_window
    for visit in windows:
        visit.context.close()
    assert [line for visit in windows for line in visit.wrong] == []


Maker = Callable[..., str]


@pytest.fixture
def instance(stack: Stack, made: list[str]) -> Maker:
    """`instance("web", ports=["18080:8080"])` makes one of ana's and returns its id; it goes after the test."""

    def make(name: str, *, start: bool = True, **spec: Any) -> str:
        answer = stack.call("POST", "instances/", {"name": name, "team": "payments", "image": "ledger", "start": start, **spec})
        made.append(answer["instance"]["id"])
        return made[-1]

    return make


@pytest.fixture
def shot() -> Callable[[Page, str], None]:
    """Keep a picture for people to look at."""
    OUTPUT.mkdir(parents=True, exist_ok=True)

    def take(page: Page, name: str) -> None:
        page.screenshot(path=OUTPUT / f"{name}.png")

    return take
