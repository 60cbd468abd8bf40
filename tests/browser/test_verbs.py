"""Buttons: what they do, what they ask first, and why some can't be pressed."""

from playwright.sync_api import Page, expect

from instances.states import VERBS, Verb
from tests.browser.conftest import Maker, Visitor


def state(page: Page, text: str) -> None:
    """The badge in the page's head."""
    expect(page.locator("#instance .ow-head .ow-state")).to_contain_text(text)


def test_stop_start_pause_resume(visit: Visitor, instance: Maker) -> None:
    page = visit("olga").go(f"/instances/{instance('verbs')}/")
    state(page, "Running")
    page.get_by_role("button", name="Stop", exact=True).click()
    state(page, "Stopped")
    page.get_by_role("button", name="Start", exact=True).click()
    state(page, "Running")
    for verb, then in (("Pause", "Paused"), ("Resume", "Running")):
        page.get_by_label("More actions").click()
        page.get_by_role("button", name=verb, exact=True).click()
        state(page, then)


def test_a_press_never_turns_into_another_verb(visit: Visitor, instance: Maker) -> None:
    """The focused button goes with its verb; the keyboard lands beside it, on nothing that acts."""
    page = visit("olga").go(f"/instances/{instance('verbs-focus')}/")
    state(page, "Running")
    page.get_by_role("button", name="Stop", exact=True).focus()
    page.keyboard.press("Enter")
    state(page, "Stopped")
    for form in page.locator("form[action*='/verbs/']").all():
        verb = str(form.get_attribute("action")).rstrip("/").rpartition("/")[2]
        assert (form.locator("button").text_content() or "").strip() == VERBS[Verb(verb)].label
    expect(page.get_by_label("More actions").locator("xpath=..")).to_be_focused()


def test_what_destroys_is_asked_first(visit: Visitor, instance: Maker) -> None:
    page = visit("olga").go(f"/instances/{instance('verbs-asked')}/")
    state(page, "Running")
    page.get_by_label("More actions").click()
    page.get_by_role("button", name="Force off").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("no chance to save")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    state(page, "Running")
    page.get_by_label("More actions").click()
    page.get_by_role("button", name="Force off").click()
    dialog.get_by_role("button", name="Force off").click()
    state(page, "Stopped")


def test_a_viewer_sees_why_a_button_is_off(visit: Visitor, instance: Maker) -> None:
    page = visit("vic").go(f"/instances/{instance('verbs-viewer')}/")
    state(page, "Running")
    stop = page.get_by_role("button", name="Stop", exact=True)
    expect(stop).to_have_attribute("aria-disabled", "true")
    stop.focus()
    reason = page.locator(f"[id='{stop.get_attribute('aria-describedby')}']")
    expect(reason).to_be_visible()
    expect(reason).to_contain_text("role “operator”")
    new = page.get_by_role("button", name="New instance")
    expect(new).to_have_attribute("aria-disabled", "true")
    state(page, "Running")


def test_a_refusal_says_what_and_changes_nothing(visit: Visitor, instance: Maker) -> None:
    """Somebody else was faster: the page shows the service's sentence."""
    made = instance("verbs-refused", start=False)
    olga = visit("olga")
    page = olga.go(f"/instances/{made}/")
    page.route("**/verbs/start/", lambda route: route.continue_(url=route.request.url.replace("start", "pause")))
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#toasts")).to_contain_text("Pause needs an instance that is running")
    state(page, "Stopped")
    olga.forgive("409")
