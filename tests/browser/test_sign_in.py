"""Signing in and out, and the one-time password."""

import json

from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.stack import Stack
from tests.browser.window import PASSWORD


def test_signs_in_and_lands_where_one_wanted_to_go(visit: Visitor) -> None:
    window = visit()
    page = window.go("/images/")
    expect(page).to_have_url(f"{window.url}/sign-in/?next=/images/")
    page.get_by_label("Name").fill("olga")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Password").press("Enter")
    expect(page).to_have_url(f"{window.url}/images/")


def test_a_wrong_password_says_so_and_signs_nobody_in(visit: Visitor) -> None:
    window = visit()
    page = window.go("/sign-in/")
    page.get_by_label("Name").fill("olga")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    window.go("/")
    expect(page).to_have_url(f"{window.url}/sign-in/?next=/")


def test_signing_out_ends_the_session(visit: Visitor) -> None:
    window = visit("vic")
    window.page.get_by_role("button", name="Sign out").click()
    expect(window.page).to_have_url(f"{window.url}/sign-in/")
    window.go("/instances/")
    expect(window.page).to_have_url(f"{window.url}/sign-in/?next=/instances/")


def test_a_one_time_password_leads_to_ones_own(stack: Stack, visit: Visitor) -> None:
    first = json.loads(stack.manage("ensure_first_start").strip().splitlines()[-1])
    window = visit()
    window.sign_in(first["admin"], first["password"])
    page = window.page
    expect(page.get_by_role("heading", name="Choose your own password")).to_be_visible()
    page.get_by_label("The one you have now").fill(first["password"])
    page.get_by_label("The new one").fill("a longer one of my own")
    page.get_by_label("Once more").fill("a longer one of my own")
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_role("heading", name="Dashboard")).to_be_attached()
    assert json.loads(stack.manage("ensure_first_start").strip().splitlines()[-1])["password"] is None
    visit().sign_in(first["admin"], "a longer one of my own")
