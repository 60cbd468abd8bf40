"""Every page: no error, no overflow, no accessibility violation, in both themes, from a phone to a wide screen; pictures for people."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Maker, Visitor
from tests.browser.stack import CLONE, Stack

AXE = CLONE / "node_modules/axe-core/axe.min.js"
RUN_AXE = """async () => {
    const found = await axe.run(document, { resultTypes: ["violations"] });
    return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target} ${node.failureSummary}`).join(" | ")}`);
}"""
PAGES = {
    "dashboard": "/",
    "instances": "/instances/",
    "create": "/instances/new/",
    "instance": "/instances/{0}/",
    "console": "/instances/{0}/?tab=console",
    "instance-network": "/instances/{0}/?tab=network",
    "instance-activity": "/instances/{0}/?tab=activity",
    "config": "/instances/{0}/?tab=config",
    "images": "/images/",
    "image": "/images/{1}/",
    "activity": "/activity/",
    "audit": "/audit/",
    "groups": "/networks/groups/",
    "group-new": "/networks/groups/new/",
    "team": "/teams/payments/",
    "teams": "/teams/",
    "access": "/access/",
    "password": "/password/",
}
WIDTHS = {"wide": (1440, 1000), "phone": (390, 844)}


def violations(page: Page) -> list[str]:
    """What axe finds."""
    page.evaluate(AXE.read_text())
    return list(page.evaluate(RUN_AXE))


def overflows(page: Page) -> bool:
    """Whether the page scrolls sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", list(WIDTHS))
def test_every_page_is_sound(
    stack: Stack, visit: Visitor, instance: Maker, shot: Callable[[Page, str], None], theme: str, width: str
) -> None:
    made = instance(f"sound-{theme}-{width}", ports=["18200:8080"], env={"MODE": "x"}, restart_policy="on-failure")
    wide, high = WIDTHS[width]
    window = visit("ana", viewport={"width": wide, "height": high}, color_scheme=theme)
    wrong: dict[str, list[str]] = {}
    for name, path in PAGES.items():
        page = window.go(path.format(made, stack.image))
        if name in ("instance", "console"):
            expect(page.locator("#console .xterm-rows")).to_contain_text("Hello from")
        found = violations(page)
        if overflows(page):
            found.append("scrolls sideways")
        if found:
            wrong[name] = found
        shot(page, f"{name}-{theme}-{width}")
    assert wrong == {}


def test_the_sign_in_page_is_sound(visit: Visitor, shot: Callable[[Page, str], None]) -> None:
    page = visit().go("/sign-in/")
    assert violations(page) == []
    shot(page, "sign-in")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_dialog_that_asks_is_sound(visit: Visitor, instance: Maker, theme: str) -> None:
    window = visit("olga", color_scheme=theme)
    page = window.go(f"/instances/{instance(f'asked-{theme}', start=False)}/")
    page.get_by_label("More actions").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page) == []


def test_an_empty_team_is_sound(stack: Stack, visit: Visitor, shot: Callable[[Page, str], None]) -> None:
    window = visit("nobody")
    page = window.go("/")
    expect(page.get_by_role("heading", name="You are in no team yet")).to_be_visible()
    assert violations(page) == []
    shot(page, "no-team")


@pytest.mark.parametrize("width", [320, 768, 1920, 3840])
def test_no_width_overflows(stack: Stack, visit: Visitor, instance: Maker, width: int) -> None:
    """320 px to 4K."""
    made = instance(f"width-{width}-{'long' * 6}", ports=["9100-9109"])
    window = visit("ana", viewport={"width": width, "height": 900})
    assert [name for name, path in PAGES.items() if overflows(window.go(path.format(made, stack.image)))] == []


def test_a_page_that_is_not_there_says_what_to_do(visit: Visitor) -> None:
    window = visit("ana")
    page = window.go("/instances/00000000-0000-0000-0000-000000000000/")
    expect(page.get_by_role("heading", name="Nothing here")).to_be_visible()
    expect(page.get_by_text("Request")).to_be_visible()
    assert violations(page) == []
    window.forgive("404")


def test_the_theme_follows_the_system_until_one_chooses(visit: Visitor) -> None:
    page = visit("ana", color_scheme="dark").go("/")
    html = page.locator("html")
    expect(html).to_have_attribute("data-bs-theme", "dark")
    page.get_by_role("button", name="Light or dark").click()
    expect(html).to_have_attribute("data-bs-theme", "light")
    page.reload()
    expect(html).to_have_attribute("data-bs-theme", "light")
    page.get_by_role("button", name="Light or dark").click()
    page.emulate_media(color_scheme="light")
    expect(html).to_have_attribute("data-bs-theme", "light")


def test_a_phone_opens_and_closes_the_menu(visit: Visitor, shot: Callable[[Page, str], None]) -> None:
    page = visit("ana", viewport={"width": 390, "height": 844}).go("/")
    expect(page.get_by_role("link", name="Images")).to_be_hidden()
    page.get_by_role("button", name="Open the menu").click()
    expect(page.get_by_role("link", name="Images")).to_be_visible()
    expect(page.locator("#rail")).to_have_css("translate", "0px")
    shot(page, "menu-phone")
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Images")).to_be_hidden()
    expect(page.get_by_role("button", name="Open the menu")).to_be_focused()


def test_the_list_filters_sorts_and_keeps_it_in_the_address(visit: Visitor, instance: Maker) -> None:
    for name, start, memory in (("filter-a", True, 512), ("filter-b", False, 128)):
        instance(name, start=start, memory_mib=memory)
    window = visit("vic")
    page = window.go("/instances/")
    page.get_by_role("searchbox").type("filter-")
    expect(page).to_have_url(f"{window.url}/instances/?name=filter-")
    expect(page.get_by_role("row")).to_have_count(3)
    page.get_by_role("link", name="Stopped").click()
    expect(page).to_have_url(f"{window.url}/instances/?name=filter-&state=stopped")
    expect(page.get_by_role("row").nth(1)).to_contain_text("filter-b")
    page.get_by_role("link", name="All").click()
    page.get_by_role("link", name="Size").click()
    expect(page.get_by_role("row").nth(1)).to_contain_text("filter-b")
    page.go_back()
    expect(page).to_have_url(f"{window.url}/instances/?name=filter-")


def test_a_keyboard_is_enough(visit: Visitor, instance: Maker) -> None:
    made = instance("keyboard", start=False)
    window = visit("olga")
    page = window.go(f"/instances/{made}/?tab=activity")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == "Start":
            break
    page.keyboard.press("Enter")
    expect(page.locator("#instance .ow-head .ow-state")).to_contain_text("Running")


def test_copies_an_address(visit: Visitor, instance: Maker) -> None:
    made = instance("copies", start=False, ports=["18300:8080"])
    page = visit("vic", permissions=["clipboard-read", "clipboard-write"]).go(f"/instances/{made}/?tab=activity")
    page.get_by_role("button", name="127.0.0.1:18300").click()
    expect(page.locator("#toasts")).to_contain_text("Copied 127.0.0.1:18300")
    assert page.evaluate("navigator.clipboard.readText()") == "127.0.0.1:18300"


def test_the_audit_log_filters_as_one_types_and_gives_a_file(visit: Visitor, instance: Maker) -> None:
    instance("audited", start=False)
    window = visit("ana")
    page = window.go("/audit/")
    page.get_by_label("Search").type("audited")
    expect(page.get_by_role("status").filter(has_text="entr")).to_have_text("1 entry")
    expect(page.get_by_role("row").nth(1)).to_contain_text("instance.create")
    assert "text=audited" in page.url
    with page.expect_download() as file:
        page.get_by_role("link", name="CSV").click()
    assert file.value.suggested_filename.endswith(".csv")
    assert file.value.path().read_text().count("audited") == 1
