"""A team's people, as they see it: invited by a link, given another role, gone again; without a reload."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.test_pages import overflows, violations

PASSWORD = "a longer one of my own"


def invite(page: Page) -> str:
    """Make a link on the team's page and return it."""
    page.get_by_label("The link holds").select_option("1 hour")
    page.get_by_role("button", name="Make a link").click()
    return page.get_by_role("status").locator("code").inner_text()


def test_somebody_without_an_account_comes_by_a_link_and_goes_again(visit: Visitor, shot: Callable[[Page, str], None]) -> None:
    ana = visit("ana")
    link = invite(ana.go("/teams/payments/"))
    assert violations(ana.page) == []
    shot(ana.page, "team-invited")
    guest = visit()
    page = guest.page
    page.goto(link)
    assert violations(page) == []
    shot(page, "join")
    page.get_by_label("Name").fill("nina")
    page.get_by_label("Password, 10 characters or more").fill(PASSWORD)
    page.get_by_label("Once more").fill(PASSWORD)
    page.get_by_role("button", name="Make the account and join").click()
    expect(page.get_by_role("heading", name="Team payments")).to_be_visible()
    expect(ana.page.get_by_role("button", name="Take nina out")).to_be_visible()
    expect(ana.page.get_by_role("button", name="Take back")).to_have_count(0)
    ana.page.get_by_role("combobox", name="Role of nina").select_option("operator")
    ana.page.get_by_role("button", name="Save the role of nina").click()
    expect(page.get_by_role("row", name="nina you operator")).to_be_visible()
    page.get_by_role("button", name="Leave the team").click()
    page.get_by_role("button", name="Leave", exact=True).click()
    expect(page.get_by_text("You left payments.")).to_be_visible()
    expect(ana.page.get_by_role("button", name="Take nina out")).to_have_count(0)


def test_a_link_that_is_used_says_so_without_a_frame(visit: Visitor) -> None:
    window = visit()
    page = window.go("/join/?invitation=guess")
    expect(page.get_by_role("heading", name="This invitation does not hold")).to_be_visible()
    assert violations(page) == []
    assert not overflows(page)
    window.forgive("404")


def test_the_only_admin_is_told_what_to_do(visit: Visitor) -> None:
    window = visit("ana")
    page = window.go("/teams/payments/")
    page.get_by_role("button", name="Leave the team").click()
    page.get_by_role("button", name="Leave", exact=True).click()
    expect(page.get_by_text("Make somebody else an admin first.")).to_be_visible()
    window.forgive("409")
