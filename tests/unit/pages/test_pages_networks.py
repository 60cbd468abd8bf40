"""The pages of networks: what stands on them, who may do what, hostile text, bounded queries; forms that lose nothing."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from instances.models import Instance
from instances.states import Observed
from networks.models import Group, Network, Nic, PortForward, PublishedAddress, Rule
from networks.nic_rows import COLUMNS
from networks.services.networks import NetworkSpec, create
from networks.services.nics import NicSpec, set_nics
from networks.services.rules import RuleSpec, set_rules
from networks.states import Observed as Seen
from opsweb.core.access import SYSTEM
from opsweb.core.models import AuditEntry, Host, Operation
from opsweb.teams.models import Team
from tests.conftest import SentTasks, nothing_changes
from tests.unit.conftest import MakeInstance

SignedIn = Callable[[User], Client]
TABS = ("overview", "addresses", "forwards", "rules", "names", "health", "activity")
ROWS = (Network, Nic, Rule, Operation, AuditEntry)
FORM = {"name": "dev", "mode": "nat", "cidr4": "192.168.42.1/24", "ipv6": "auto", "dhcp": "on"}
HOSTILE = "\"><script>alert(1)</script>{{ 7|add:7 }}<img src=x onerror=alert(1)>'`"


@pytest.fixture
def lan(host: Host, team: Team, sent: SentTasks) -> Network:
    """A network of the team that is up, with nothing on it."""
    network, _ = create(team, NetworkSpec(name="lan", cidr4="192.168.33.1/24", cidr6="fd42:7a:1::/64"), actor=SYSTEM)
    Operation.objects.update(status="succeeded")
    Network.objects.update(observed=Seen.UP)
    sent.clear()
    return Network.objects.get(pk=network.pk)


def attach(instance: Instance, network: Network, address4: str = "") -> Nic:
    """Put it on the network instead of user mode."""
    set_nics(instance, [NicSpec(network, address4=address4)], actor=SYSTEM)
    return instance.nics.get()


def text_of(client: Client, path: str) -> str:
    """The page, white space made plain."""
    answer = client.get(path)
    assert answer.status_code == 200, path
    return re.sub(r"\s+", " ", answer.content.decode())


def test_a_team_without_networks_sees_why_it_would_want_one(signed_in: SignedIn, olga: User, host: Host) -> None:
    text = text_of(signed_in(olga), "/networks/")
    assert "No network yet" in text
    assert 'href="/networks/new/"' in text


def counted(octets: int) -> None:
    """All NICs got that many bytes, and three packets of theirs were dropped, in the last four seconds."""
    now = timezone.now()
    before = {"at": (now - timedelta(seconds=4)).isoformat(), "in": [0, 0], "out": [0, 0], "dropped": [0, 0]}
    counts = {"in": [4, octets], "out": [2, 100], "dropped": [3, 180]}
    Nic.objects.update(counts=counts, counted_at=now, counted_before=before)
    Host.objects.update(counted_at=now)


def test_the_list_has_own_and_shared_ones(
    signed_in: SignedIn, vic: User, lan: Network, other_team: Team, team: Team, sent: SentTasks
) -> None:
    shared, _ = create(other_team, NetworkSpec(name="lab", shared_with=[team]), actor=SYSTEM)
    create(other_team, NetworkSpec(name="not-ours"), actor=SYSTEM)
    text = text_of(signed_in(vic), "/networks/")
    assert "192.168.33.0/24" in text
    assert "fd42:7a:1::/64" in text
    assert "shared by elsewhere" in text
    assert "not-ours" not in text
    assert f"/networks/{shared.pk}/" in text
    assert re.search(r'Networks <span class="ow-count">2<', text)


def test_the_rail_has_a_meter_for_addresses_once_there_is_a_network(
    signed_in: SignedIn, vic: User, request: pytest.FixtureRequest, make_instance: MakeInstance, team: Team
) -> None:
    bob = make_instance("bob")
    assert "Addresses" not in text_of(signed_in(vic), "/rail/")
    attach(bob, request.getfixturevalue("lan"), "192.168.33.19")
    assert f"Addresses: 1 of {team.quota_addresses}" in text_of(signed_in(vic), "/rail/")


def test_the_page_draws_what_hangs_on_it(signed_in: SignedIn, vic: User, lan: Network, make_instance: MakeInstance) -> None:
    bob = make_instance("bob", observed=Observed.RUNNING)
    nic = attach(bob, lan, "192.168.33.19")
    counted(4096)
    text = text_of(signed_in(vic), f"/networks/{lan.pk}/")
    assert text.count(f'href="/instances/{bob.pk}/?tab=network"') == 2  # the wide drawing and the narrow one
    assert text.count(f"?tab=addresses#nic-{nic.pk}") == 2
    assert "3 dropped, &lt;1/s now" in text
    assert ".19 · ↓1.0 KiB/s ↑25 B/s" in text
    assert 'data-edge="drop"' in text
    assert re.search(r'<desc id="topo-desc">.*bob', text)
    assert 'title="192.168.33.19 · bob · fixed, reserved"' in text


def test_every_tab_says_its_part(signed_in: SignedIn, vic: User, lan: Network, make_instance: MakeInstance, host: Host, team: Team) -> None:
    bob = make_instance("bob", observed=Observed.RUNNING)
    nic = attach(bob, lan, "192.168.33.19")
    PortForward.objects.create(nic=nic, host=host, team=team, host_port=18_080, guest_port=8080, bound_port=18_080)
    set_rules(lan, [RuleSpec("deny", "in", "tcp", "22")], actor=SYSTEM)
    lan.refresh_from_db()
    lan.records = {"db": "192.168.33.200"}
    lan.leases = [{"mac": nic.mac, "address": "192.168.33.19", "name": "bob", "expires_at": "2099-01-01T00:00:00+00:00"}]
    lan.drift = [{"what": "bridge", "reason": "is down", "at": "2026-11-26T00:00:00+00:00", "mended": True}]
    lan.warnings = [{"code": "foreign_forward_drop", "message": "Docker drops."}]
    lan.save()
    client = signed_in(vic)
    page = {tab: text_of(client, f"/networks/{lan.pk}/?tab={tab}") for tab in TABS}
    assert nic.mac in page["addresses"]
    assert 'datetime="2099-01-01T00:00:00+00:00"' in page["addresses"]
    assert "127.0.0.1:18080" in page["forwards"]
    assert "192.168.33.19:8080" in page["forwards"]
    assert "TCP to port 22 may not come in from anybody." in page["rules"]
    assert "What fits nothing is allowed" in page["rules"]
    assert "bob.lan.internal" in page["names"]
    assert "db.lan.internal" in page["names"]
    assert "is down" in page["health"]
    assert "Docker drops." in page["health"]
    assert "Docker drops." in page["overview"]


def test_a_fragment_is_the_part_alone(signed_in: SignedIn, vic: User, lan: Network) -> None:
    client = signed_in(vic)
    for path, id in (("/networks/", "networks"), (f"/networks/{lan.pk}/", "network")):
        part = client.get(path, headers={"X-Fragment": id}).content.decode()
        assert part.strip().startswith(f'<div id="{id}"')
        assert f"network:{lan.pk}" in part or "network:*" in part


def test_hostile_text_is_text_everywhere(
    signed_in: SignedIn, ana: User, lan: Network, make_instance: MakeInstance, team: Team, host: Host
) -> None:
    """SEC-H2: what guests, dnsmasq, the host or a row may say."""
    instance = make_instance("bob", observed=Observed.RUNNING)
    nic = attach(instance, lan)
    lan.leases = [{"mac": HOSTILE, "address": "192.168.33.77", "name": HOSTILE, "expires_at": None}]
    lan.drift = [{"what": HOSTILE, "reason": HOSTILE, "at": "2026-11-26T00:00:00+00:00", "mended": False}]
    lan.warnings = [{"code": "x", "message": HOSTILE}]
    lan.message, lan.domain, lan.resolvers, lan.adapter = HOSTILE, HOSTILE[:100], [HOSTILE], HOSTILE[:15]
    lan.records = {HOSTILE: "192.168.33.201"}
    lan.save()
    Nic.objects.filter(pk=nic.pk).update(name=HOSTILE[:15])
    Group.objects.create(team=team, name=HOSTILE[:40])
    host.network_facts = {"platform": HOSTILE, "adapters": [{"name": HOSTILE, "addresses": [], "is_up": True}]}
    host.save()
    client = signed_in(ana)
    paths = ["/networks/", f"/networks/{lan.pk}/edit/", "/networks/new/", "/instances/new/", f"/instances/{instance.pk}/?tab=network"]
    for path in [*paths, *(f"/networks/{lan.pk}/?tab={tab}" for tab in TABS)]:
        text = client.get(path).content.decode()
        assert "<script>alert" not in text, path
        assert "<img src=x" not in text, path
    hostile = dict.fromkeys(FORM, HOSTILE) | {"records": HOSTILE, "domain": HOSTILE, "resolvers": HOSTILE}
    for path in ("/networks/new/", "/networks/new/plan/", f"/networks/{lan.pk}/edit/plan/"):
        assert "<script>alert" not in client.post(path, hostile).content.decode(), path


def queries(client: Client, path: str) -> int:
    """How many one look costs."""
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


def test_many_nics_cost_as_many_queries_as_few(
    signed_in: SignedIn, ana: User, lan: Network, make_instance: MakeInstance, team: Team, host: Host
) -> None:
    client = signed_in(ana)
    Team.objects.update(quota_networks=50)
    paths = ["/networks/", "/networks/new/", f"/networks/{lan.pk}/edit/", *(f"/networks/{lan.pk}/?tab={tab}" for tab in TABS)]
    first = make_instance("vm-0")
    attach(first, lan)
    set_rules(lan, [RuleSpec("deny", "in", "tcp", "22")], actor=SYSTEM)
    PortForward.objects.create(nic=first.nics.get(), host=host, team=team, host_port=20_000, guest_port=80, bound_port=20_000)
    paths += [f"/instances/{first.pk}/?tab=network", "/instances/", "/instances/new/"]
    for path in paths:
        client.get(path)
    few = {path: queries(client, path) for path in paths}
    for number in range(1, 12):
        nic = attach(make_instance(f"vm-{number}"), lan)
        PortForward.objects.create(
            nic=nic, host=host, team=team, host_port=20_000 + number, guest_port=80, bound_port=20_000 + number
        )  # fmt: skip
        create(team, NetworkSpec(), actor=SYSTEM)
    set_rules(lan, [RuleSpec("deny", "in", "tcp", str(port), f"10.{port}.0.0/16") for port in range(20, 30)], actor=SYSTEM)
    assert {path: queries(client, path) for path in paths} == few


def test_an_instance_of_another_team_on_a_shared_network_stays_nameless(
    signed_in: SignedIn, ana: User, lan: Network, make_instance: MakeInstance, other_image: Any, other_team: Team
) -> None:
    """INV-15."""
    lan.shared_with.add(other_team)
    attach(make_instance("their-secret", of=other_image, observed=Observed.RUNNING), lan, "192.168.33.50")
    client = signed_in(ana)
    for tab in TABS:
        assert "their-secret" not in text_of(client, f"/networks/{lan.pk}/?tab={tab}"), tab
    assert "192.168.33.50" in text_of(client, f"/networks/{lan.pk}/?tab=addresses")


def test_who_is_shared_with_looks_and_changes_nothing(
    signed_in: SignedIn, ana: User, other_team: Team, team: Team, host: Host, sent: SentTasks
) -> None:
    theirs, _ = create(other_team, NetworkSpec(name="lab", shared_with=[team]), actor=SYSTEM)
    client = signed_in(ana)
    assert "yours to use, not to change" in text_of(client, f"/networks/{theirs.pk}/")
    with nothing_changes(*ROWS):
        assert client.post(f"/networks/{theirs.pk}/verbs/delete/", headers={"HX-Request": "true"}).status_code == 403
        assert client.post(f"/networks/{theirs.pk}/edit/", FORM).status_code == 422
        assert client.post(f"/networks/{theirs.pk}/rules/").status_code == 403


def test_a_viewer_sees_the_buttons_and_the_sentence(signed_in: SignedIn, vic: User, lan: Network) -> None:
    client = signed_in(vic)
    for path in ("/networks/", f"/networks/{lan.pk}/", f"/networks/{lan.pk}/?tab=rules", "/networks/new/"):
        text = text_of(client, path)
        assert 'aria-disabled="true"' in text, path
        assert "operator" in text, path


def test_a_stranger_gets_the_same_as_for_what_is_not_there(signed_in: SignedIn, nobody: User, lan: Network) -> None:
    """INV-15."""
    client = signed_in(nobody)
    absent = "00000000-0000-0000-0000-000000000000"
    for path, send in (("", client.get), ("edit/", client.get), ("rules/", client.post), ("verbs/delete/", client.post)):
        with nothing_changes(*ROWS):
            assert [send(f"/networks/{pk}/{path}").status_code for pk in (lan.pk, absent)] == [404, 404], path


def test_what_is_in_use_can_not_be_deleted_and_says_so(signed_in: SignedIn, ana: User, lan: Network, make_instance: MakeInstance) -> None:
    attach(make_instance("bob"), lan)
    client = signed_in(ana)
    assert "An instance is on it." in text_of(client, f"/networks/{lan.pk}/")
    with nothing_changes(*ROWS):
        answer = client.post(f"/networks/{lan.pk}/verbs/delete/", headers={"HX-Request": "true"})
    assert answer.status_code == 409
    assert "bob" in answer["HX-Trigger"]


def test_the_form_begins_with_what_is_free(signed_in: SignedIn, olga: User, lan: Network) -> None:
    text = text_of(signed_in(olga), "/networks/new/")
    assert 'value="br0"' in text
    assert 'value="192.168.34.1/24"' in text


def test_create_makes_what_was_typed(signed_in: SignedIn, olga: User, host: Host, sent: SentTasks) -> None:
    more = {
        "lease_minutes": "30",
        "mtu": "1400",
        "domain": "dev.example",
        "resolvers": "9.9.9.9, 1.1.1.1",
        "records": "db 192.168.42.200\n\n",
    }
    answer = signed_in(olga).post("/networks/new/", FORM | more)
    made = Network.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/networks/{made.pk}/")
    assert (made.name, made.cidr4, made.gateway4, made.mode, made.dhcp) == ("dev", "192.168.42.0/24", "192.168.42.1", "nat", True)
    assert (made.lease_seconds, made.mtu, made.domain) == (1800, 1400, "dev.example")
    assert (made.resolvers, made.records) == (["9.9.9.9", "1.1.1.1"], {"db": "192.168.42.200"})
    assert made.cidr6.startswith("fd")
    assert sent == [("networks.converge", (str(made.pk),))]


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"cidr4": "192.168.33.0/24"}, "id_cidr4-error", "meets 192.168.33.0/24 of network lan"),
        ({"cidr4": "nonsense"}, "id_cidr4-error", "is no IPv4 network"),
        ({"name": "Lan!"}, "id_name-error", "lower-case"),
        ({"name": "lan"}, "id_name-error", "has a network called lan"),
        ({"ipv6": "prefix"}, "id_cidr6-error", "Write the prefix"),
        ({"ipv6": "prefix", "cidr6": "fd00::/48"}, "id_cidr6-error", "/64"),
        ({"mode": "uplink"}, "id_adapter-error", "Name the adapter"),
        ({"records": "db"}, "id_records-error", "Line 1 is no record"),
        ({"dhcp_first": "10.0.0.1", "dhcp_last": "10.0.0.9"}, "id_dhcp_first-error", "not inside"),
        ({"resolvers": "127.0.0.1"}, "id_resolvers-error", "resolver"),
    ],
)  # fmt: skip
def test_an_error_stands_beside_its_field_and_nothing_is_lost(
    signed_in: SignedIn, olga: User, lan: Network, change: dict[str, str], field: str, says: str
) -> None:
    typed = FORM | {"domain": "kept.example", "mtu": "1400"} | change
    with nothing_changes(*ROWS):
        answer = signed_in(olga).post("/networks/new/", typed)
    text = re.sub(r"\s+", " ", answer.content.decode())
    assert answer.status_code == 422
    assert says in text.partition(f'id="{field}"')[2].partition("</div>")[0]
    assert 'value="kept.example"' in text
    assert 'value="1400"' in text


def test_an_uplink_is_for_admins_of_the_panel(signed_in: SignedIn, olga: User, root: User, team: Team, host: Host, sent: SentTasks) -> None:
    typed = FORM | {"mode": "uplink", "adapter": "eth1", "ipv6": "none"}
    with nothing_changes(*ROWS):
        refused = signed_in(olga).post("/networks/new/", typed)
    assert (refused.status_code, b"only an admin" in refused.content) == (422, True)
    assert signed_in(root).post("/networks/new/?team=payments", typed).status_code == 302
    assert Network.objects.get().adapter == "eth1"


def test_edit_changes_what_was_typed_and_keeps_the_rest(signed_in: SignedIn, olga: User, lan: Network, sent: SentTasks) -> None:
    client = signed_in(olga)
    page = client.get(f"/networks/{lan.pk}/edit/")
    initial = page.context["form"].initial
    typed = {name: value for name, value in initial.items() if value not in (None, False, [])} | {"mtu": "1400", "dhcp": "on"}
    assert client.post(f"/networks/{lan.pk}/edit/", typed).status_code == 302
    after = Network.objects.get(pk=lan.pk)
    assert (after.mtu, after.name, after.cidr4, after.cidr6, after.gateway4) == (
        1400,
        "lan",
        "192.168.33.0/24",
        "fd42:7a:1::/64",
        "192.168.33.1",
    )


def test_what_will_change_is_told_and_nothing_of_it_is_done(signed_in: SignedIn, olga: User, lan: Network, sent: SentTasks) -> None:
    """SEC-H1: a dry run leaves nothing behind."""
    client = signed_in(olga)
    with nothing_changes(*ROWS):
        new = client.post("/networks/new/plan/", FORM).content.decode()
        edited = client.post(
            f"/networks/{lan.pk}/edit/plan/", FORM | {"name": "lan", "cidr4": "192.168.33.1/24", "mtu": "1400"}
        ).content.decode()
        same = client.post(
            f"/networks/{lan.pk}/edit/plan/",
            FORM | {"name": "lan", "cidr4": "192.168.33.1/24", "ipv6": "prefix", "cidr6": "fd42:7a:1::/64"},
        ).content.decode()
    assert "192.168.42.1/24 dev ow" in new
    assert "dhcp-range=192.168.42.0,static" in new
    assert ('data-mark="-"' in edited, "mtu 1400" in edited) == (True, True)
    assert "Nothing on the host changes" in same


def test_what_will_change_says_what_will_be_refused(signed_in: SignedIn, olga: User, vic: User, lan: Network) -> None:
    clash = signed_in(olga).post("/networks/new/plan/", FORM | {"cidr4": "192.168.33.1/24"}).content.decode()
    assert "meets 192.168.33.0/24 of network lan" in clash
    assert "operator" in signed_in(vic).post("/networks/new/plan/", FORM).content.decode()


def rules_form(*rows: tuple[str, str, str, str, str]) -> dict[str, list[str]]:
    """As the editor sends them."""
    columns = ("action", "direction", "protocol", "ports", "peer")
    return {f"rule_{name}": [row[number] for row in rows] for number, name in enumerate(columns)}


RULES = (("allow", "in", "tcp", "8080", "group:web"), ("deny", "in", "any", "", ""), ("deny", "out", "udp", "9000-9005", "10.0.0.0/8"))


@pytest.mark.parametrize("owner", ["network", "instance"])
def test_rules_come_back_as_they_were_typed(
    signed_in: SignedIn, olga: User, lan: Network, make_instance: MakeInstance, team: Team, owner: str, sent: SentTasks
) -> None:
    """Round trip: the editor's rows → the service → the editor's rows."""
    Group.objects.create(team=team, name="web")
    bob = make_instance("bob", observed=Observed.RUNNING)
    attach(bob, lan)
    here = f"/networks/{lan.pk}/" if owner == "network" else f"/instances/{bob.pk}/"
    tab = "rules" if owner == "network" else "network"
    client = signed_in(olga)
    answer = client.post(f"{here}rules/", rules_form(*RULES))
    assert (answer.status_code, answer["Location"]) == (302, f"{here}?tab={tab}&saved=1")
    page = client.get(f"{here}?tab={tab}")
    assert [(row.action, row.direction, row.protocol, row.ports, row.peer) for row in page.context["rows"]] == list(RULES)
    assert "UDP to ports 9000-9005 may not go out to 10.0.0.0/8." in page.content.decode()
    assert client.post(f"{here}rules/", {}).status_code == 302
    assert not Rule.objects.exists()


def test_a_bad_rule_changes_none_and_stays_in_the_editor(signed_in: SignedIn, olga: User, lan: Network) -> None:
    """SEC-F3: never "no rules"."""
    set_rules(lan, [RuleSpec("deny", "in", "tcp", "22")], actor=SYSTEM)
    with nothing_changes(*ROWS):
        answer = signed_in(olga).post(f"/networks/{lan.pk}/rules/", rules_form(RULES[1], ("deny", "in", "tcp", "99999", "x y")))
    text = answer.content.decode()
    assert answer.status_code == 422
    assert "Rule 2:" in text
    assert 'value="99999"' in text
    assert 'value="x y"' in text


def test_what_rules_will_change_is_told_in_words_and_in_lines(
    signed_in: SignedIn, olga: User, lan: Network, make_instance: MakeInstance
) -> None:
    attach(make_instance("bob"), lan)
    client = signed_in(olga)
    with nothing_changes(*ROWS):
        told = client.post(f"/networks/{lan.pk}/rules/plan/", rules_form(("deny", "in", "tcp", "22", ""))).content.decode()
        wrong = client.post(f"/networks/{lan.pk}/rules/plan/", rules_form(("deny", "in", "tcp", "nope", ""))).content.decode()
    assert "TCP to port 22 may not come in from anybody." in told
    assert re.search(r'data-mark="\+">\+ [^<]*22', told)
    assert "Rule 1:" in wrong


def test_an_instance_is_made_on_a_network_with_a_fixed_address(
    signed_in: SignedIn, olga: User, lan: Network, make_instance: MakeInstance, sent: SentTasks
) -> None:
    image = make_instance("first").image
    client = signed_in(olga)
    text = text_of(client, "/instances/new/")
    assert 'data-next="192.168.33.2"' in text
    nic = {"nics": "shown", "nic_name": "", "nic_network": str(lan.pk), "nic_how": "fixed", "nic_address4": "192.168.33.19"}
    answer = client.post("/instances/new/", {"name": "bob", "size": "1x256", "image": str(image.pk)} | nic)
    assert answer.status_code == 302
    made = Instance.objects.get(name="bob").nics.get()
    assert (made.network, made.address4, made.is_fixed) == (lan, "192.168.33.19", True)
    again = client.post("/instances/new/", {"name": "eve", "size": "1x256", "image": str(image.pk)} | nic)
    assert again.status_code == 422
    assert "192.168.33.19 is reserved for instance bob" in again.content.decode().partition('id="nics-error"')[2]


def test_the_edit_form_moves_a_nic_and_keeps_the_others(signed_in: SignedIn, olga: User, lan: Network, make_instance: MakeInstance) -> None:
    bob = make_instance("bob")
    set_nics(bob, [NicSpec(lan, rate_kbit=5000), NicSpec()], actor=SYSTEM)
    before = list(bob.nics.values_list("name", "mac", "address4", "address6", "rate_kbit"))
    client = signed_in(olga)
    rows = client.get(f"/instances/{bob.pk}/?tab=config").context["form"].nic_rows
    sent_back = {
        "nics": "shown",
        **{f"nic_{name}": [getattr(row, name) for row in rows] for name in COLUMNS},
    }
    assert client.post(f"/instances/{bob.pk}/edit/", {"name": "bob", "size": "1x256"} | sent_back).status_code == 302
    assert list(bob.nics.values_list("name", "mac", "address4", "address6", "rate_kbit")) == before
    assert client.post(f"/instances/{bob.pk}/edit/", {"name": "bob", "size": "1x256", "nics": "shown"}).status_code == 302
    assert not bob.nics.exists()


def test_the_tab_of_an_instance_has_its_nics(signed_in: SignedIn, vic: User, lan: Network, make_instance: MakeInstance) -> None:
    bob = make_instance("bob", observed=Observed.RUNNING)
    nic = attach(bob, lan, "192.168.33.19")
    counted(4096)
    text = text_of(signed_in(vic), f"/instances/{bob.pk}/?tab=network")
    for piece in (
        nic.mac,
        "192.168.33.19",
        nic.address6,
        "4 KiB",
        "1.0 KiB/s",
        "25 B/s",
        f"/networks/{lan.pk}/",
        "What fits nothing is allowed",
    ):
        assert str(piece) in text
    assert 'aria-describedby="why-rules"' in text


def test_beside_a_nic_that_was_changed_stands_when_that_takes_effect(
    signed_in: SignedIn, vic: User, lan: Network, make_instance: MakeInstance
) -> None:
    bob, client = make_instance("bob", observed=Observed.RUNNING), signed_in(vic)
    first = NicSpec(lan, name="a", address4="192.168.33.19")
    set_nics(bob, [first], actor=SYSTEM)
    Instance.objects.update(applied=bob.boot_values())
    set_nics(bob, [first, NicSpec(lan, name="b")], actor=SYSTEM)
    text = text_of(client, f"/instances/{bob.pk}/?tab=network")
    assert text.count("is-mark") == 1
    assert '<td class="ow-mono">b <span class="ow-chip is-mark" title="">live</span>' in text
    assert "restart to apply" not in text.lower()

    bob.refresh_from_db()
    Instance.objects.update(applied=bob.applied | {"nic_notes": {bob.nics.get(name="b").tag: "No port is free."}})
    text = text_of(client, f"/instances/{bob.pk}/?tab=network")
    assert 'title="No port is free.">restart to apply</span>' in text
    assert text.partition('id="nics-apply"')[2].partition("</div>")[0].endswith("No port is free.</p>")


def test_the_create_page_names_the_cloud_it_stands_on(signed_in: SignedIn, olga: User, host: Host) -> None:
    assert "native network" in text_of(signed_in(olga), "/instances/new/")
    Host.objects.update(network_facts={"platform": "Amazon EC2"})
    assert "This host is on Amazon EC2." in text_of(signed_in(olga), "/instances/new/")


@pytest.mark.parametrize(("rate", "kbit"), [("10", 10_000), ("0,5", 500), ("1234.567", 1_234_567), ("", 0)])
def test_the_form_says_a_nics_ipv6_address_and_rate(
    signed_in: SignedIn, olga: User, lan: Network, make_instance: MakeInstance, rate: str, kbit: int
) -> None:
    client, bob = signed_in(olga), make_instance("bob")
    attach(bob, lan, "192.168.33.19")
    row = {"nic_name": "tap0", "nic_network": str(lan.pk), "nic_how": "fixed", "nic_address4": "192.168.33.19"}
    sent_back = {"name": "bob", "size": "1x256", "nics": "shown", **row, "nic_address6": "fd42:7a:1::b0b", "nic_rate": rate}
    assert client.post(f"/instances/{bob.pk}/edit/", sent_back).status_code == 302
    nic = bob.nics.get()
    assert (nic.address6, nic.rate_kbit) == ("fd42:7a:1::b0b", kbit)
    (shown,) = client.get(f"/instances/{bob.pk}/?tab=config").context["form"].nic_rows
    assert (shown.address6, shown.rate, shown.says_more) == ("fd42:7a:1::b0b", rate.replace(",", "."), True)


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("rate", "fast", "is no rate"),
        ("rate", "nan", "is no rate"),
        ("rate", "1e999", "is no rate"),
        ("rate", "0.00001", "A rate limit goes from"),
        ("rate", "-1", "A rate limit goes from"),
        ("address6", "fd00::1", "fd42:7a:1::/64"),
        ("address6", "<b>", ""),
    ],
)
def test_a_wrong_ipv6_address_or_rate_is_said_and_nothing_changes(
    signed_in: SignedIn, olga: User, lan: Network, make_instance: MakeInstance, column: str, value: str, sentence: str
) -> None:
    bob = make_instance("bob")
    attach(bob, lan, "192.168.33.19")
    row = {"nic_name": "tap0", "nic_network": str(lan.pk), "nic_how": "fixed", "nic_address4": "192.168.33.19"}
    with nothing_changes(Nic):
        answer = signed_in(olga).post(
            f"/instances/{bob.pk}/edit/", {"name": "bob", "size": "1x256", "nics": "shown", **row, f"nic_{column}": value}
        )
    text = answer.content.decode()
    assert answer.status_code == 422
    assert sentence in text
    assert 'id="nics-error"' in text


def test_what_an_admin_published_is_said_where_ports_are_entered(
    signed_in: SignedIn, olga: User, host: Host, make_instance: MakeInstance, other_team: Team
) -> None:
    pages = ("/instances/new/", f"/instances/{make_instance('bob').pk}/?tab=config")
    assert all("an admin can publish others" in text_of(signed_in(olga), page) for page in pages)
    PublishedAddress.objects.create(host=host, address="203.0.113.7", port_first=8000, port_last=8999)
    PublishedAddress.objects.create(host=host, address="203.0.113.8").teams.add(other_team)
    for page in pages:
        text = text_of(signed_in(olga), page)
        assert "203.0.113.7" in text
        assert "8000-8999" in text
        assert "203.0.113.8" not in text
