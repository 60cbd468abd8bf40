"""The console in the browser: bytes in order, one writer, resume, and output that can do nothing."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Maker, Visitor
from tests.browser.stack import Stack

OWN_LINE = "Hello from"


def rows(page: Page) -> object:
    """What stands on the screen."""
    return page.locator("#console .xterm-rows")


def typed(page: Page, text: str) -> None:
    """Type into the terminal."""
    page.locator("#console .xterm-screen").click()
    page.keyboard.type(text)


@pytest.fixture
def prints(stack: Stack) -> object:
    """`prints(id, b"...")`: the guest prints this."""

    def append(made: str, data: bytes) -> None:
        with Path(stack.directory / "state" / "vm" / made / "console.log").open("ab") as log:
            log.write(data)

    return append


def test_shows_what_was_printed_and_echoes_what_is_typed(visit: Visitor, instance: Maker) -> None:
    page = visit("olga").go(f"/instances/{instance('console-echo')}/?tab=console")
    expect(rows(page)).to_contain_text(OWN_LINE)
    expect(page.locator("[data-console-writer]")).to_contain_text("you write")
    typed(page, "echo me 42\n")
    expect(rows(page)).to_contain_text("echo me 42")


def test_one_writes_another_takes_over(visit: Visitor, instance: Maker) -> None:
    made = instance("console-writers")
    olga, ana = visit("olga"), visit("ana")
    first = olga.go(f"/instances/{made}/?tab=console")
    expect(first.locator("[data-console-writer]")).to_contain_text("you write")
    second = ana.go(f"/instances/{made}/?tab=console")
    expect(second.locator("[data-console-writer]")).to_contain_text("olga writes")
    expect(first.locator("[data-console-viewers]")).to_contain_text("2 viewers")
    typed(second, "lost")
    expect(second.locator("#toasts")).to_contain_text("takes over")
    second.get_by_role("button", name="Write here").click()
    expect(first.locator("[data-console-writer]")).to_contain_text("ana writes")
    typed(second, "mine now\n")
    expect(rows(first)).to_contain_text("mine now")
    assert "lost" not in rows(first).inner_text()


def test_a_viewer_reads_and_cannot_write(visit: Visitor, instance: Maker) -> None:
    page = visit("vic").go(f"/instances/{instance('console-viewer')}/?tab=console")
    expect(rows(page)).to_contain_text(OWN_LINE)
    expect(page.locator("[data-console-writer]")).to_contain_text("read only")
    typed(page, "not for me")
    expect(page.get_by_role("button", name="Write here")).to_be_hidden()
    assert "not for me" not in rows(page).inner_text()


def test_goes_on_at_its_offset_after_an_outage(stack: Stack, visit: Visitor, instance: Maker, prints: object) -> None:
    """INV-01: nothing is lost and nothing is repeated when the web dies."""
    made = instance("console-resume")
    olga = visit("olga")
    page = olga.go(f"/instances/{made}/?tab=console")
    expect(rows(page)).to_contain_text(OWN_LINE)
    prints(made, b"before-the-outage\r\n")
    expect(rows(page)).to_contain_text("before-the-outage")
    stack.end("web")
    expect(page.locator("[data-console-link]")).to_contain_text("reconnecting")
    prints(made, b"during-the-outage\r\n")
    stack.start("web")
    expect(page.locator("[data-console-link]")).to_have_text("live", timeout=20_000)
    prints(made, b"after-the-outage\r\n")
    expect(rows(page)).to_contain_text("after-the-outage")
    text = rows(page).inner_text()
    assert [text.count(f"{when}-the-outage") for when in ("before", "during", "after")] == [1, 1, 1]
    olga.forgive("WebSocket", "ERR_CONNECTION_REFUSED")


HOSTILE = (
    b"<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\r\n"
    b"\x1b]0;owned\x07\x1b]2;owned\x07"  # title
    b"\x1b]52;c;b3duZWQ=\x07"  # clipboard
    b"\x1b]8;;javascript:document.title='owned'\x07click me\x1b]8;;\x07\r\n"  # hyperlink
    b"\x1b]4;0;#ff0000\x07\x1b]10;#ff0000\x07\x1b]11;#00ff00\x07"  # colours
    b"\x1b[c\x1b[6n\x1b[>c\x1b[14t\x1b]10;?\x07\x1bP$qm\x1b\\"  # questions that a terminal would answer by typing
    b"\x1b[38;2;1;2;3m\x1b[48;2;250;251;252mtrue colour\x1b[0m\r\n"
    b"\xff\xfe\x00\x9b31m done-hostile\r\n"
)


def test_hostile_output_changes_nothing(visit: Visitor, instance: Maker, prints: object) -> None:
    """SEC-A6: markup is text; titles, clipboard, links and questions are ignored; the policy is not touched."""
    made = instance("console-hostile")
    olga = visit("olga", permissions=["clipboard-read", "clipboard-write"])
    page = olga.go(f"/instances/{made}/?tab=console")
    expect(page.locator("[data-console-writer]")).to_contain_text("you write")
    page.evaluate("navigator.clipboard.writeText('mine')")
    title = page.title()
    sent: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda data: sent.append(str(data))))
    page.reload()
    expect(page.locator("[data-console-writer]")).to_contain_text("you write")
    prints(made, HOSTILE)
    expect(rows(page)).to_contain_text("done-hostile")
    expect(rows(page)).to_contain_text("<script>document.title='owned'</script>")
    assert page.title() == title
    assert page.evaluate("navigator.clipboard.readText()") == "mine"
    assert page.locator("#console script, #console img, #console a").count() == 0
    page.get_by_text("click me").first.click(force=True)
    assert (page.title(), len(olga.context.pages)) == (title, 1)
    assert [frame for frame in sent if '"write"' in frame] == []
    colour = page.locator("#console .xterm-rows span", has_text="true colour").first
    assert colour.evaluate("span => getComputedStyle(span).backgroundColor") == "rgb(250, 251, 252)"


def test_searches_and_downloads(visit: Visitor, instance: Maker, prints: object) -> None:
    made = instance("console-tools")
    page = visit("olga").go(f"/instances/{made}/?tab=console")
    expect(rows(page)).to_contain_text(OWN_LINE)
    prints(made, b"needle one\r\nneedle two\r\n")
    expect(rows(page)).to_contain_text("needle two")
    page.get_by_role("button", name="Search").click()
    page.get_by_label("Search the console").fill("needle")
    expect(page.locator("[data-console-found]")).to_have_text("1 of 2")
    page.keyboard.press("Enter")
    expect(page.locator("[data-console-found]")).to_have_text("2 of 2")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the log").click()
    assert b"needle one\r\nneedle two" in Path(download.value.path()).read_bytes()


def test_much_output_comes_whole(visit: Visitor, instance: Maker, prints: object) -> None:
    """More than a window: the server waits for what is drawn, and every line arrives."""
    made = instance("console-much")
    page = visit("olga").go(f"/instances/{made}/?tab=console")
    expect(rows(page)).to_contain_text(OWN_LINE)
    prints(made, b"".join(b"line %06d of much output, all of it wanted\r\n" % number for number in range(12_000)) + b"the-very-end\r\n")
    expect(rows(page)).to_contain_text("the-very-end", timeout=30_000)
    expect(rows(page)).to_contain_text("line 011999")


def test_a_keyboard_gets_out_of_the_terminal(visit: Visitor, instance: Maker) -> None:
    """WCAG 2.1.2: Escape, then Tab."""
    page = visit("olga").go(f"/instances/{instance('console-keys')}/?tab=console")
    expect(page.locator("[data-console-writer]")).to_contain_text("you write")
    page.locator("#console .xterm-screen").click()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.xterm') !== null")
    expect(page.get_by_text("Escape, then Tab, leaves the terminal")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.xterm') === null")
