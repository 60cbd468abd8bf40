"""Pages stay true by themselves: no reload, no polling."""

from playwright.sync_api import expect

from tests.browser.conftest import Maker, Visitor
from tests.browser.seed import STOP
from tests.browser.stack import Stack

MARK = "document.body.dataset.mark = 'not reloaded'"


def test_a_badge_changes_in_another_browser_without_a_reload(visit: Visitor, instance: Maker) -> None:
    made = instance("live-badge")
    olga, vic = visit("olga"), visit("vic")
    pages = [vic.go(f"/instances/{made}/"), olga.go("/instances/")]
    for page in pages:
        page.evaluate(MARK)
    expect(pages[0].locator("#instance .ow-head .ow-state")).to_contain_text("Running")
    row = pages[1].get_by_role("row").filter(has_text="live-badge")
    row.hover()
    row.get_by_role("button", name="Stop").click()
    expect(pages[0].locator("#instance .ow-head .ow-state")).to_contain_text("Stopped")
    expect(row).to_contain_text("Stopped")
    for page in pages:
        assert page.evaluate("document.body.dataset.mark") == "not reloaded"


def test_counts_and_drawer_follow(visit: Visitor, instance: Maker) -> None:
    olga = visit("olga")
    page = olga.go("/images/")
    page.evaluate(MARK)
    count = page.locator("#rail a", has_text="Instances").locator(".ow-count")
    before = int(count.inner_text())
    instance("live-count")
    expect(count).to_have_text(str(before + 1))
    expect(page.locator("#drawer > summary")).to_contain_text("live-count")
    assert page.evaluate("document.body.dataset.mark") == "not reloaded"


def test_a_fragment_keeps_focus_and_what_was_opened(visit: Visitor, instance: Maker) -> None:
    made = instance("live-focus")
    page = visit("olga").go(f"/instances/{made}/")
    page.get_by_label("More actions").click()
    page.get_by_role("button", name="Pause").focus()
    with page.expect_response(lambda response: f"/instances/{made}/" in response.url):
        page.evaluate(
            "fetch(location.pathname + 'verbs/pause/', {method: 'POST', headers: JSON.parse(document.body.getAttribute('hx-headers'))})"
        )
    expect(page.locator("#instance .ow-head .ow-state")).to_contain_text("Paused")
    assert page.locator("#verbs-menu").get_attribute("open") is not None
    assert page.evaluate("document.activeElement.closest('#verbs-menu') !== null")


def test_after_an_outage_everything_is_looked_at_again(stack: Stack, visit: Visitor, instance: Maker) -> None:
    """INV-01 for the eyes: an event that was lost while the web was down costs nothing."""
    made = instance("live-outage")
    olga = visit("olga")
    page = olga.go(f"/instances/{made}/?tab=activity")
    expect(page.locator("#instance .ow-head .ow-state")).to_contain_text("Running")
    stack.end("web")
    stack.seed(STOP.format(made))
    stack.start("web")
    expect(page.locator("#instance .ow-head .ow-state")).to_contain_text("Stopped", timeout=20_000)
    olga.forgive("ws/events", "WebSocket", "ERR_CONNECTION_REFUSED")


def test_a_deleted_instance_leads_back_to_the_list(visit: Visitor, instance: Maker) -> None:
    made = instance("live-gone", start=False)
    vic, olga = visit("vic"), visit("olga")
    page = vic.go(f"/instances/{made}/")
    other = olga.go(f"/instances/{made}/")
    other.get_by_label("More actions").click()
    other.get_by_role("button", name="Delete").click()
    expect(other.get_by_role("dialog")).to_contain_text("Delete live-gone?")
    other.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(other).to_have_url(f"{olga.url}/instances/")
    expect(page).to_have_url(f"{vic.url}/instances/")
    expect(page.locator("#instances")).not_to_contain_text("live-gone")
    vic.forgive("404")
