"""The config tab: edit, restart to apply, as code."""

from playwright.sync_api import expect

from tests.browser.conftest import Maker, Visitor


def test_a_change_of_size_waits_for_the_next_start(visit: Visitor, instance: Maker) -> None:
    made = instance("config-size", memory_mib=128)
    page = visit("olga").go(f"/instances/{made}/")
    expect(page.locator("#instance .ow-head .ow-state")).to_contain_text("Running")
    page.get_by_role("link", name="Config", exact=True).click()
    page.get_by_role("radio", name="Medium").check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#saved")).to_contain_text("Saved")
    expect(page.locator("#apply")).to_contain_text("vCPUs, memory")
    page.locator("#apply").get_by_role("button", name="Restart").click()
    expect(page.locator("#apply")).to_have_count(0, timeout=20_000)
    expect(page.locator(".ow-sub")).to_contain_text("2 vCPU · 512 MiB")


def test_an_unusable_value_stands_beside_its_field_and_nothing_is_saved(visit: Visitor, instance: Maker) -> None:
    made = instance("config-wrong", start=False, ports=["18310:8080"])
    olga = visit("olga")
    page = olga.go(f"/instances/{made}/?tab=config")
    page.get_by_label("Environment").fill("no equals sign")
    page.get_by_label("Port of the host").fill("99999")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Line 1 is not of the form NAME=value")).to_be_visible()
    expect(page.locator("[data-ports]")).to_contain_text("Ports go from 1 to 65535")
    page = olga.go(f"/instances/{made}/?tab=config")
    expect(page.get_by_label("Port of the host")).to_have_value("18310")
    olga.forgive("422")


def test_ports_are_rows(visit: Visitor, instance: Maker) -> None:
    made = instance("config-ports", start=False, ports=["18320:8080"])
    page = visit("olga").go(f"/instances/{made}/?tab=config")
    page.get_by_role("button", name="Add a port").click()
    page.get_by_label("Port of the host").nth(1).fill("18321")
    page.get_by_label("Protocol").nth(1).select_option("udp")
    page.get_by_role("button", name="Remove this port").first.click()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#saved")).to_be_visible()
    expect(page.get_by_label("Port of the host")).to_have_count(1)
    expect(page.get_by_label("Port of the host")).to_have_value("18321")
    expect(page.get_by_role("region", name="command")).to_contain_text("--udp 18321")


def test_a_secret_stays_hidden_and_stays_what_it_is(visit: Visitor, instance: Maker) -> None:
    """SEC-J1: the value is in no page; saving the form does not lose it."""
    made = instance("config-secret", start=False, env={"KEY": "s3cr3t-value", "MODE": "a"}, secret_env=["KEY"])
    page = visit("olga").go(f"/instances/{made}/?tab=config")
    assert "s3cr3t-value" not in page.content()
    page.get_by_label("Environment").fill("KEY=••••••••\nMODE=b")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#saved")).to_be_visible()
    expect(page.get_by_label("Environment")).to_have_value("KEY=••••••••\nMODE=b")
    assert "s3cr3t-value" not in page.content()


def test_a_viewer_reads_the_form_and_cannot_send_it(visit: Visitor, instance: Maker) -> None:
    page = visit("vic").go(f"/instances/{instance('config-viewer', start=False)}/?tab=config")
    expect(page.get_by_label("Name", exact=True)).to_be_disabled()
    expect(page.get_by_role("button", name="Save")).to_have_attribute("aria-disabled", "true")
