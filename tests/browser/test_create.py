"""From a dropped file to a running instance."""

import base64
import json
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Maker, Visitor

BUSYBOX = shutil.which("busybox") or "/bin/busybox"  # a static ELF that the panel itself needs


def drop(page: Page, name: str, data: bytes) -> None:
    """A file from outside, dropped on the page."""
    script = """([name, data]) => {
        const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([bytes], name));
        for (const type of ["dragenter", "dragover", "drop"]) dispatchEvent(new DragEvent(type, { dataTransfer, cancelable: true }));
    }"""
    page.evaluate(script, [name, base64.b64encode(data).decode()])


def test_a_dropped_program_becomes_a_running_instance(visit: Visitor, made: list[str]) -> None:
    page = visit("olga").go("/instances/new/")
    drop(page, "Dropped_App", Path(BUSYBOX).read_bytes())
    expect(page.locator("[data-uploads]")).to_contain_text("uploaded")
    expect(page.get_by_label("Name", exact=True)).to_have_value("dropped-app")
    page.get_by_role("radio", name="Tiny").check()
    page.get_by_role("button", name="Add a port").click()
    page.get_by_label("Port of the host").fill("18123")
    page.get_by_label("Port of the guest").fill("8080")
    page.get_by_text("Arguments and environment").click()
    page.get_by_label("Arguments").fill("sleep 'one hour'")
    page.get_by_label("Environment").fill("MODE=test\nKEY=hidden")
    page.get_by_label("Secret names").fill("KEY")
    expect(page.locator("[data-create-line]")).to_contain_text("-p 18123:8080")
    page.get_by_role("button", name="Run it").click()
    expect(page.get_by_role("heading", name="dropped-app")).to_be_visible()
    made.append(urlsplit(page.url).path.split("/")[2])
    expect(page.locator("#instance .ow-head .ow-state")).to_contain_text("Running", timeout=20_000)
    expect(page.get_by_role("button", name="127.0.0.1:18123").first).to_be_visible()
    expect(page.locator("#last-start")).to_contain_text("port 8080")
    page.get_by_role("link", name="Config", exact=True).click()
    expect(page.get_by_label("Environment")).to_have_value("MODE=test\nKEY=••••••••")


def test_a_file_dropped_on_the_list_leads_to_the_create_page(visit: Visitor) -> None:
    page = visit("olga").go("/instances/")
    drop(page, "dropped.elf", Path(BUSYBOX).read_bytes())
    expect(page.get_by_role("heading", name="New instance")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("dropped")
    expect(page.locator("[data-uploads]")).to_contain_text("dropped.elf")


def test_a_config_fills_the_form_and_says_what_becomes_of_the_rest(visit: Visitor) -> None:
    page = visit("olga").go("/instances/new/")
    config = {
        "Args": ["--port", "80"],
        "Env": {"MODE": "x"},
        "CloudConfig": {"Zone": "us-west"},
        "RunConfig": {"Memory": "512m", "CPUs": 2, "Ports": ["80"]},
    }
    drop(page, "config.json", json.dumps(config).encode())
    expect(page.get_by_role("radio", name="Medium")).to_be_checked()
    expect(page.get_by_label("Arguments")).to_have_value("--port 80")
    expect(page.get_by_label("Port of the host")).to_have_value("80")
    expect(page.locator("[data-config-notes]")).to_contain_text("Zone")
    expect(page.locator("[data-create-line]")).to_contain_text("-a --port -a 80")


def test_a_pasted_config_is_read_and_is_still_there_after_a_refusal(visit: Visitor) -> None:
    olga = visit("olga")
    page = olga.go("/instances/new/")
    script = """(text) => {
        const clipboardData = new DataTransfer();
        clipboardData.setData("text", text);
        document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
    }"""
    page.evaluate(script, '{"Env": {"MODE": "pasted"}}')
    expect(page.get_by_label("Environment")).to_have_value("MODE=pasted")
    page.get_by_label("Name", exact=True).fill("web")
    page.get_by_role("button", name="Run it").click()
    expect(page.get_by_text("Choose what to run")).to_be_in_viewport()
    expect(page.locator("[data-uploads]")).to_contain_text("config · read")
    olga.forgive("422")


def test_a_broken_config_says_where(visit: Visitor) -> None:
    olga = visit("olga")
    page = olga.go("/instances/new/")
    drop(page, "config.json", b'{\n  "Args": ["a",]\n}')
    expect(page.locator("[data-uploads]")).to_contain_text("line 2", ignore_case=True)
    assert page.locator("[data-upload-text]").inner_text().lower().count("line 2") == 1
    olga.forgive("422")


def test_what_is_no_program_is_refused_before_it_is_sent(visit: Visitor) -> None:
    page = visit("olga").go("/instances/new/")
    drop(page, "notes.txt", b"hello there")
    expect(page.locator("[data-uploads]")).to_contain_text("neither a Linux program")


def test_an_error_stands_beside_its_field_and_keeps_what_was_typed(visit: Visitor, instance: Maker) -> None:
    instance("dropped-first", start=False, ports=["18124"])
    olga = visit("olga")
    page = olga.go("/instances/new/")
    page.get_by_role("radio", name="ledger").check()
    page.get_by_label("Name", exact=True).fill("dropped-second")
    page.get_by_role("button", name="Add a port").click()
    page.get_by_label("Port of the host").fill("18124")
    page.get_by_role("button", name="Run it").click()
    expect(page.locator("[data-ports]")).to_contain_text("used by instance dropped-first")
    expect(page.get_by_label("Port of the host")).to_have_value("18124")
    expect(page.get_by_role("radio", name="ledger")).to_be_checked()
    olga.forgive("422")


def test_the_quota_moves_with_the_size(visit: Visitor) -> None:
    page = visit("olga").go("/instances/new/")
    meter = page.locator("[data-plan=vcpus]")
    page.get_by_role("radio", name="X-large").check()
    expect(meter).to_contain_text("→")
    page.get_by_role("radio", name="Custom").check()
    page.get_by_role("spinbutton", name="vCPUs").fill("64")
    expect(meter).to_contain_text("too much")


def test_an_upload_goes_on_after_a_lost_connection(visit: Visitor) -> None:
    olga = visit("olga")
    page = olga.go("/instances/new/")
    tries: list[str] = []

    def cut_the_first(route: Route) -> None:
        tries.append(route.request.headers["upload-offset"])
        if len(tries) == 1:
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/api/v1/uploads/*/", lambda route: cut_the_first(route) if route.request.method == "PUT" else route.continue_())
    drop(page, "again", Path(BUSYBOX).read_bytes())
    expect(page.locator("[data-uploads]")).to_contain_text("uploaded", timeout=20_000)
    assert tries == ["0", "0"]
    olga.forgive("ERR_CONNECTION_RESET")


def test_a_cancelled_upload_is_forgotten_on_both_sides(visit: Visitor) -> None:
    olga = visit("olga")
    page = olga.go("/instances/new/")
    page.route("**/api/v1/uploads/*/", lambda route: None if route.request.method == "PUT" else route.continue_())
    drop(page, "never", Path(BUSYBOX).read_bytes())
    expect(page.get_by_role("button", name="Run it")).to_be_disabled()
    with page.expect_response(lambda response: response.request.method == "DELETE") as answer:
        page.get_by_role("button", name="Cancel").click()
    assert answer.value.status == 204
    expect(page.locator("[data-uploads]")).to_be_empty()
    expect(page.get_by_role("button", name="Run it")).to_be_enabled()
