"""Networks as a person meets them: make one with its preview, see it come up, rules by keyboard, an instance on it, no reload."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.stack import Stack
from tests.browser.test_pages import WIDTHS, overflows, violations

# A network with NICs of instances in every state, and the counters, leases and drift that a busy host would have; frozen for the pictures.
BUSY = """
import json
from instances.models import Image, Instance
from networks.models import Network, Nic, Rule
from networks.services.networks import NetworkSpec, create
from opsweb.core.access import SYSTEM
from opsweb.core.models import Host, Operation
from opsweb.teams.models import Team

team = Team.objects.get(name="payments")
network, operation = create(team, NetworkSpec(name="{name}", cidr6="auto", mode="{mode}"), actor=SYSTEM)
image = Image.objects.get(name="ledger")
for number in range({count}):
    instance = Instance.objects.create(
        team=team, host=network.host, image=image, name=f"{name}-{{number}}", uid_offset=2000 + 100 * Network.objects.count() + number
    )
    Nic.objects.create(
        instance=instance, network=network, address4=str(network.subnet4.network[10 + number]), is_fixed=number % 2 == 0,
        address6=str(network.subnet6.network[10 + number]),
    )
Rule.objects.create(team=team, network=network, position=0, action="allow", direction="in", protocol="tcp", port_first=80, port_last=80)
Rule.objects.create(team=team, network=network, position=1, action="deny", direction="in")
print(json.dumps(str(network.pk)))
"""
GONE = """
from instances.models import Instance
from networks.models import Network
Instance.objects.filter(nics__network__name="{name}").delete()
Network.objects.filter(name="{name}").delete()
"""

TABS = ("overview", "addresses", "forwards", "rules", "names", "health", "activity")


Busy = Callable[..., str]


@pytest.fixture
def busy(stack: Stack) -> Iterator[Busy]:
    """`busy("lan", 6)`: a network with so many NICs, by its id. Ask for it before `visit`: it goes once the windows are closed."""
    names: list[str] = []

    def make(name: str, count: int, mode: str = "nat") -> str:
        names.append(name)
        return stack.seed(BUSY.format(name=name, count=count, mode=mode)).strip().splitlines()[-1].strip('"')

    yield make
    for name in names:
        stack.seed(GONE.format(name=name))


def test_one_makes_a_network_and_sees_it_come_up(visit: Visitor) -> None:
    window = visit("olga")
    page = window.go("/networks/")
    page.get_by_role("link", name="New network").first.click()
    expect(page.get_by_label("Subnet")).to_have_value(re.compile(r"^192\.168\.\d+\.1/24$"))
    expect(page.locator("#plan")).to_contain_text("dhcp-range=")
    page.get_by_label("Name", exact=True).fill("made-here")
    page.get_by_label("Subnet").fill("192.168.77.1/24")
    expect(page.locator("#plan")).to_contain_text("192.168.77.1/24 dev ow")
    page.get_by_label("Subnet").fill("127.0.0.1/24")
    expect(page.locator("#plan")).to_contain_text("meets 127.0.0.0/8")
    page.get_by_label("Subnet").fill("192.168.77.1/24")
    page.get_by_role("radio", name="Isolated").check(force=True)
    page.get_by_role("button", name="Create it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("made-here")
    expect(page.locator("#network .ow-head .ow-state")).to_contain_text("Up")
    assert violations(page) == []
    page.get_by_role("button", name="Delete").click()
    page.locator("#confirm").get_by_role("button", name="Delete").click()
    expect(page).to_have_url(f"{window.url}/networks/")
    expect(page.locator("#networks")).not_to_contain_text("made-here")
    window.forgive("404")  # its page may have looked at it once more before it left


def test_rules_are_written_moved_by_keyboard_and_told_in_words(busy: Busy, visit: Visitor) -> None:
    window = visit("olga")
    page = window.go(f"/networks/{busy('ruled', 2)}/?tab=rules")
    rows = page.locator("[data-rule-row]")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("TCP to port 80 may come in from anybody.")
    page.get_by_role("button", name="Add a rule").click()
    expect(rows.nth(2).get_by_label("What happens")).to_be_focused()
    rows.nth(2).get_by_label("What happens").select_option("deny")
    rows.nth(2).get_by_label("Ports").fill("22")
    expect(rows.nth(2)).to_contain_text("TCP to port 22 may not come in from anybody.")
    expect(page.locator("#rules-plan")).to_contain_text("Filter")
    page.keyboard.press("Alt+ArrowUp")
    page.keyboard.press("Alt+ArrowUp")
    expect(rows.nth(0).get_by_label("Ports")).to_have_value("22")
    expect(rows.nth(0).get_by_label("Ports")).to_be_focused()
    rows.nth(1).get_by_role("button", name="Remove this rule").click()
    rows.nth(1).get_by_label("Peer").fill("nonsense")
    expect(page.locator("#rules-plan")).to_contain_text("Rule 2:")
    rows.nth(1).get_by_label("Peer").fill("")
    page.get_by_role("button", name="Save the rules").click()
    expect(page.locator("#saved")).to_be_visible()
    expect(page.locator("#rules-in-force li")).to_have_text(
        [re.compile("TCP to port 22 may not come in"), re.compile("Everything may not come in"), re.compile("What fits nothing")]
    )


def test_an_instance_on_a_network_shows_up_in_the_drawing_without_a_reload(
    stack: Stack, busy: Busy, visit: Visitor, made: list[str]
) -> None:
    network = busy("live", 0)
    looker, maker = visit("vic"), visit("olga")
    page = looker.go(f"/networks/{network}/")
    page.evaluate("window.stays = true")
    form = maker.go("/instances/new/")
    form.locator("[data-images] .ow-pick").filter(has_text="ledger").click()
    form.get_by_label("Name", exact=True).fill("on-a-net")
    form.get_by_label("Network", exact=True).select_option(network)
    form.get_by_label("How it gets its address").select_option("fixed")
    expect(form.get_by_label("Address", exact=True)).to_have_value(re.compile(r"^192\.168\.\d+\.2$"))
    address = form.get_by_label("Address", exact=True).input_value()
    expect(form.locator("[data-create-line]")).to_contain_text(f"--bridged --bridgename live --ip-address {address}")
    form.get_by_role("button", name="Run it").click()
    expect(form.get_by_role("heading", level=1)).to_have_text("on-a-net")
    made.append(form.url.split("/")[-2])
    drawing = page.locator(".ow-topo-wide")
    expect(drawing).to_contain_text("on-a-net")
    expect(drawing.locator("circle[data-tone=run]")).to_have_count(3)  # the way out, the bridge, the instance
    assert page.evaluate("window.stays") is True
    drawing.get_by_role("link").filter(has_text="on-a-net").last.click()
    expect(page.locator("#nics")).to_contain_text(address)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", list(WIDTHS))
def test_every_page_of_networks_is_sound(busy: Busy, visit: Visitor, shot: Callable[[Page, str], None], theme: str, width: str) -> None:
    """WCAG 2.2 AA by axe, no sideways scrolling, both themes."""
    network = busy("sound", 5)
    wide, high = WIDTHS[width]
    window = visit("ana", viewport={"width": wide, "height": high}, color_scheme=theme)
    paths = {"networks": "/networks/", "network-new": "/networks/new/", "network-edit": f"/networks/{network}/edit/"}
    paths |= {f"network-{tab}": f"/networks/{network}/?tab={tab}" for tab in TABS}
    wrong: dict[str, list[str]] = {}
    for name, path in paths.items():
        page = window.go(path)
        if name in ("network-new", "network-rules"):
            expect(page.locator("#plan, #rules-plan")).not_to_have_text(re.compile(r"^\s*…\s*$"))
        found = violations(page) + (["scrolls sideways"] if overflows(page) else [])
        if found:
            wrong[name] = found
        shot(page, f"{name}-{theme}-{width}")
    assert wrong == {}


@pytest.mark.parametrize("width", [320, 1920])
def test_sixty_nics_fit_any_width(busy: Busy, visit: Visitor, shot: Callable[[Page, str], None], width: int) -> None:
    network = busy("crowd", 60)
    window = visit("vic", viewport={"width": width, "height": 900})
    for tab in TABS:
        page = window.go(f"/networks/{network}/?tab={tab}")
        assert not overflows(page), tab
    page = window.go(f"/networks/{network}/")
    drawing = page.locator(".ow-topo-tree" if width < 820 else ".ow-topo-wide")
    expect(drawing).to_be_visible()
    expect(drawing).to_contain_text("51 more")
    shot(page, f"network-crowd-{width}")


def test_what_a_viewer_may_not_do_is_seen_and_explained(busy: Busy, visit: Visitor) -> None:
    network = busy("looked-at", 1)
    page = visit("vic").go(f"/networks/{network}/")
    edit = page.get_by_role("button", name="Edit")
    expect(edit).to_have_attribute("aria-disabled", "true")
    edit.hover()
    expect(page.locator("#why-edit")).to_contain_text("This needs the role “operator”")
    expect(page.locator("#why-edit")).to_be_visible()
