"""A stranger with a browser and a panel whose guests are real: one-time password, hello's console, a dropped program, its page."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.window import Visit, chromium
from tests.host.panel import PORT, RealPanel, get, real_panel
from tests.namespaces import in_own_namespace

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
OWN_PASSWORD = "a password of my own"


@pytest.fixture(scope="module")
def panel() -> Iterator[RealPanel]:
    """Up from nothing."""
    in_own_namespace()
    with real_panel() as panel:
        panel.said = panel.make("up")
        get("http://127.0.0.1:8088/", 60)
        yield panel


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def visit(panel: RealPanel, browser: Browser) -> Iterator[Visit]:
    """The first admin's window, signed in with the password that `make up` printed, then with one of their own."""
    visit = Visit(browser.new_context(viewport=WIDE), f"http://localhost:{PORT}")
    password = re.search(r"password +(\S+)", panel.said)
    assert password, panel.said
    visit.sign_in("admin", password[1])
    page = visit.page
    expect(page.get_by_role("heading", name="Choose your own password")).to_be_visible()
    page.get_by_label("The one you have now").fill(password[1])
    page.get_by_label("The new one, 10 characters or more").fill(OWN_PASSWORD)
    page.get_by_label("Once more").fill(OWN_PASSWORD)
    page.get_by_role("button", name="Change it").click()
    page.wait_for_url(visit.url + "/")
    yield visit
    visit.context.close()
    assert visit.wrong == []


def terminal(page: Page) -> str:
    """What the console shows."""
    return page.locator(".xterm-rows").inner_text()


def shot(page: Page, panel: RealPanel, name: str) -> None:
    """A picture for people to look at."""
    page.screenshot(path=panel.evidence / f"real-{name}.png")


def test_hello_runs_with_a_live_console_and_a_page(panel: RealPanel, visit: Visit) -> None:
    page = visit.go("/instances/")
    page.get_by_role("link", name="hello", exact=True).first.click()
    expect(page.locator("main").get_by_text("Running").first).to_be_visible()
    expect(page.locator(".xterm-rows")).to_contain_text("Hello from inside the VM", timeout=20_000)
    httpx.get("http://127.0.0.1:8088/seen-on-the-console")  # a 404, and a line on the console
    expect(page.locator(".xterm-rows")).to_contain_text("seen-on-the-console", timeout=10_000)
    shot(page, panel, "hello")


def test_a_dropped_program_becomes_a_page(panel: RealPanel, visit: Visit, document_server: Path) -> None:
    page = visit.go("/instances/new/")
    page.locator("input[type=file]").first.set_input_files(str(document_server))
    page.get_by_label("Name", exact=True).fill("dropped")
    page.get_by_role("button", name="Add a port").click()
    page.get_by_label("Port of the host").last.fill("18082")
    page.get_by_label("Port of the guest").last.fill("8080")
    page.get_by_role("button", name="Run it").click()
    page.wait_for_url(re.compile(r"/instances/[0-9a-f-]{36}/"))
    expect(page.locator("main").get_by_text("Running").first).to_be_visible(timeout=30_000)
    assert get("http://127.0.0.1:18082/", 60) == "Welcome to my website!"
    expect(page.locator("main").get_by_text("port 8080")).to_be_visible(timeout=20_000)
    shot(page, panel, "dropped")


def test_stop_without_a_reload_in_a_second_window(panel: RealPanel, visit: Visit, browser: Browser) -> None:
    other = Visit(browser.new_context(viewport=PHONE, color_scheme="dark"), visit.url)
    other.sign_in("admin", OWN_PASSWORD)
    listed = other.go("/instances/")
    shown = json.loads(panel.cli("instance", "show", "hello", "--json").stdout)
    page = visit.go(f"/instances/{shown['id']}/")
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator("main").get_by_text("Stopped").first).to_be_visible(timeout=30_000)
    expect(listed.locator("main").get_by_text("Stopped").first).to_be_visible(timeout=10_000)
    shot(listed, panel, "phone")
    other.context.close()
    assert other.wrong == []
