"""Groups, and what a config.json and an image say of networks, in the forms."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Maker, Visitor
from tests.browser.stack import Stack
from tests.browser.test_create import drop
from tests.browser.test_networks import Busy, busy
from tests.browser.test_pages import violations

__all__ = ["busy"]  # a fixture

BRIDGED = """
from instances.models import Image
from opsweb.core.models import Host
from opsweb.teams.models import Team
said = {"bridged": True, "tap_name": "tap1", "bridge_name": "br3", "ip_address": "192.168.42.19"}
team, host = Team.objects.get(name="payments"), Host.objects.get()
Image.objects.create(team=team, host=host, name="bridged", digest="ab" * 32, defaults={"bridging": said})
"""
GONE = """
from instances.models import Image
Image.objects.filter(name="bridged").delete()
"""


@pytest.fixture
def bridged(stack: Stack) -> Iterator[None]:
    """An image whose config speaks of a network."""
    stack.seed(BRIDGED)
    yield
    stack.seed(GONE)


def image(page: Page, name: str) -> None:
    page.locator("[data-images] .ow-pick").filter(has_text=name).click()


def test_an_image_that_speaks_of_a_network_decides_until_one_says_otherwise(bridged: None, visit: Visitor) -> None:
    page = visit("olga").go("/instances/new/")
    network = page.get_by_label("Network", exact=True)
    expect(network).to_have_value("")
    assert "As the image’s config says" not in network.locator("option:not([hidden])").all_inner_texts()
    image(page, "bridged")
    expect(network).to_have_value("image")
    expect(page.locator("[data-nic-image]")).to_have_text("It says: tap1 on br3, 192.168.42.19. A network that is missing is made.")
    assert violations(page) == []
    image(page, "ledger")
    expect(network).to_have_value("")
    expect(page.locator("[data-nic-image]")).to_be_empty()


def test_a_dropped_config_fills_the_nics(busy: Busy, visit: Visitor) -> None:
    made = busy("filled", 0)
    page = visit("olga").go("/instances/new/")
    subnet = page.locator(f"option[value='{made}']").first.inner_text().split(" · ")[1]
    address = subnet.replace("0/24", "77")
    config = {"RunConfig": {"Bridged": True, "TapName": "front", "BridgeName": "filled", "IPAddress": address}}
    drop(page, "config.json", json.dumps(config).encode())
    expect(page.get_by_label("Network", exact=True)).to_have_value(made)
    expect(page.get_by_label("How it gets its address")).to_have_value("fixed")
    expect(page.get_by_label("Address", exact=True)).to_have_value(address)
    assert page.locator("[name=nic_name]").first.input_value() == "front"
    config["RunConfig"]["BridgeName"] = "not-there"
    drop(page, "config.json", json.dumps(config).encode())
    expect(page.get_by_label("Network", exact=True)).to_have_value("image")
    expect(page.locator("[data-nic-image]")).to_contain_text(f"not-there, {address}")


def test_a_nics_folded_part_is_kept(busy: Busy, visit: Visitor, instance: Maker) -> None:
    network, made = busy("folded", 0), instance("folded", start=False)
    page = visit("olga").go(f"/instances/{made}/?tab=config")
    more = page.locator(".ow-nic-more").first
    expect(more).to_be_hidden()
    page.get_by_label("Network", exact=True).select_option(network)
    more.locator("summary").click()
    expect(page.get_by_label("IPv6 address")).to_be_hidden()  # by DHCP it is given
    page.get_by_label("Rate limit").fill("0.5")
    assert violations(page) == []
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#saved")).to_be_visible()
    expect(page.get_by_label("Rate limit")).to_have_value("0.5")
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_label("How it gets its address").select_option("fixed")
    room = page.get_by_label("Address", exact=True).bounding_box()
    assert room is not None
    assert room["width"] > 200


def test_one_makes_a_group_and_takes_it_away(visit: Visitor, instance: Maker) -> None:
    instance("grouped-a", start=False)
    window = visit("olga")
    page = window.go("/networks/")
    page.get_by_role("link", name="Groups").click()
    page.get_by_role("link", name="New group").first.click()
    page.get_by_label("Name", exact=True).fill("grouped")
    page.get_by_role("checkbox", name="grouped-a").check(force=True)
    assert violations(page) == []
    page.get_by_role("button", name="Create group").click()
    expect(page.locator("#groups")).to_contain_text("grouped-a")
    page.get_by_role("link", name="grouped", exact=True).click()
    expect(page.get_by_role("checkbox", name="grouped-a")).to_be_checked()
    assert violations(page) == []
    page.get_by_role("button", name="Delete").click()
    page.locator("#confirm").get_by_role("button", name="Delete").click()
    expect(page).to_have_url(f"{window.url}/networks/groups/")
    expect(page.locator("#toasts")).to_contain_text("Deleted group grouped.")
