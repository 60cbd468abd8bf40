"""networks.services.networks: defaults, refusals by name, what an edit may change, who may."""

from typing import Any

import pytest

from instances.models import Instance
from networks.models import Network, Nic
from networks.services import networks
from networks.services.networks import NetworkSpec
from networks.services.nics import NicSpec, set_nics
from opsweb.core.access import SYSTEM, Actor
from opsweb.core.errors import Conflict, Forbidden, Invalid, NotFound, Refusal
from opsweb.core.models import AuditEntry, Host, Operation
from opsweb.environment import env
from opsweb.teams.models import Team
from tests.conftest import SentTasks, nothing_changes
from tests.unit.networks.conftest import MakeNetwork

ROWS = (Network, Nic, Operation, AuditEntry)
FACTS = {
    "routes": [["192.168.34.0/24", "eth0"], ["0.0.0.0/1", "wg0"]],
    "adapters": [{"name": "eth0", "addresses": ["192.168.34.7/24"], "is_up": True}, {"name": "eth1", "addresses": [], "is_up": True}],
    "resolvers": ["192.168.35.53"],
    "platform": "",
}


def make(team: Team, actor: Actor, **spec: Any) -> Network:
    return networks.create(team, NetworkSpec(**spec), actor=actor)[0]


def attach(instance: Instance, network: Network | None, **spec: Any) -> Nic:
    set_nics(instance, [NicSpec(network, **spec)], actor=SYSTEM)
    return instance.nics.get()


def refused(kind: type[Refusal], team: Team, actor: Actor, **spec: Any) -> Refusal:
    with nothing_changes(*ROWS), pytest.raises(kind) as refusal:
        make(team, actor, **spec)
    return refusal.value


def test_nothing_given_is_enough(host: Host, team: Team, olgas: Actor, sent: SentTasks) -> None:
    """OPS's `network create`: br0, else br1…, the first free /24 from 192.168.33.0 on."""
    rows = [make(team, olgas) for _ in range(3)]
    assert [row.name for row in rows] == ["br0", "br1", "br2"]
    assert [row.cidr4 for row in rows] == ["192.168.33.0/24", "192.168.34.0/24", "192.168.35.0/24"]
    assert [row.gateway4 for row in rows] == ["192.168.33.1", "192.168.34.1", "192.168.35.1"]
    assert {row.uid_offset for row in rows} <= set(env.network_offsets)
    assert len({row.uid_offset for row in rows} | {row.tag for row in rows}) == 6
    assert sent == [("networks.converge", (str(row.pk),)) for row in rows]
    assert Operation.objects.filter(kind="network", verb="create", status="queued").count() == 3


def test_two_teams_may_both_take_the_default(host: Host, team: Team, other_team: Team, sent: SentTasks) -> None:
    assert [make(owner, SYSTEM).name for owner in (team, other_team)] == ["br0", "br0"]
    assert Network.objects.values("cidr4").distinct().count() == 2


def test_the_default_goes_round_what_the_host_has(host: Host, team: Team, olgas: Actor, sent: SentTasks) -> None:
    Host.objects.update(network_facts=FACTS)
    assert [make(team, olgas).cidr4 for _ in range(2)] == ["192.168.33.0/24", "192.168.36.0/24"]


def test_everything_given_is_kept(host: Host, team: Team, olgas: Actor, sent: SentTasks) -> None:
    network = make(
        team,
        olgas,
        name="lab",
        mode="isolated",
        cidr4="10.77.0.254/20",
        cidr6="fd12:3456:789a::/64",
        is_nat6=False,
        dhcp_first="10.77.0.20",
        dhcp_last="10.77.0.90",
        lease_seconds=600,
        mtu=1400,
        domain="lab.example",
        resolvers=["9.9.9.9", "2620:fe::fe"],
        records={"db": "10.77.0.5", "www.lab": "fd12:3456:789a::5"},
    )
    network.refresh_from_db()
    assert (network.cidr4, network.gateway4, network.gateway6) == ("10.77.0.0/20", "10.77.0.254", "fd12:3456:789a::1")
    assert [str(address) for address in network.pool or ()] == ["10.77.0.20", "10.77.0.90"]
    assert (network.mode, network.mtu, network.lease_seconds, network.is_nat6) == ("isolated", 1400, 600, False)
    assert (network.full_domain, network.resolvers, len(network.records)) == ("lab.example", ["9.9.9.9", "2620:fe::fe"], 2)


def test_a_prefix_is_made_up(host: Host, team: Team, olgas: Actor, sent: SentTasks) -> None:
    one, other = (make(team, olgas, cidr6="auto") for _ in range(2))
    assert one.cidr6.startswith("fd")
    assert one.cidr6 != other.cidr6


@pytest.mark.parametrize(
    ("cidr4", "named"),
    [
        ("192.168.34.128/25", "route over eth0"),
        ("192.168.35.0/24", "name server"),
        ("192.168.33.1/24", "network br0"),
        ("192.168.32.0/23", "network br0"),
    ],
)
def test_an_overlap_is_refused_with_the_name_of_what_it_meets(
    host: Host, team: Team, olgas: Actor, make_network: MakeNetwork, cidr4: str, named: str
) -> None:
    make_network()
    Host.objects.update(network_facts=FACTS)
    refusal = refused(Conflict, team, olgas, cidr4=cidr4)
    assert refusal.code == "overlap"
    assert named in refusal.message


def test_a_strangers_network_is_not_named(host: Host, team: Team, other_team: Team, olgas: Actor, make_network: MakeNetwork) -> None:
    """INV-15."""
    make_network(other_team, name="secret-project", cidr6="fd00:1::/64")
    for spec in ({"cidr4": "192.168.33.0/24"}, {"cidr6": "fd00:1::/64"}):
        refusal = refused(Conflict, team, olgas, **spec)
        assert "another team's network" in refusal.message
        assert "secret" not in refusal.message


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"cidr4": "127.0.0.0/24"}, "reserved_range"),
        ({"cidr4": "169.254.169.0/24"}, "reserved_range"),
        ({"cidr4": "10.0.2.0/24"}, "reserved_range"),
        ({"cidr4": "10.0.0.0/8"}, "reserved_range"),
        ({"cidr4": "8.8.8.0/24"}, "not_private"),
        ({"cidr6": "2001:db8::/64"}, "not_private"),
        ({"cidr6": "fd00:ec2::/64"}, "reserved_range"),
        ({"cidr4": "192.168.33.0/30"}, "no_room"),
        ({"cidr4": "x"}, "bad_cidr"),
        ({"cidr6": "fd00::/48"}, "bad_cidr"),
        ({"name": "Br_0"}, "invalid"),
        ({"name": "a\n"}, "invalid"),
        ({"mode": "bridge"}, "invalid"),
        ({"mtu": 100}, "invalid"),
        ({"lease_seconds": 1}, "invalid"),
        ({"adapter": "eth0"}, "invalid"),
        ({"dhcp_first": "192.168.33.9"}, "bad_range"),
        ({"dhcp_first": "192.168.34.9", "dhcp_last": "192.168.34.10"}, "bad_range"),
        ({"domain": "a b"}, "invalid"),
        ({"domain": "a\naddress=/#/1.2.3.4"}, "invalid"),
        ({"domain": "local"}, "invalid"),
        ({"resolvers": ["127.0.0.1"]}, "invalid"),
        ({"resolvers": ["169.254.169.254"]}, "invalid"),
        ({"resolvers": ["9.9.9.9#53"]}, "invalid"),
        ({"resolvers": ["fe80::1%eth0"]}, "invalid"),
        ({"resolvers": ["9.9.9.9"] * 9}, "invalid"),
        ({"records": {"a,b": "1.2.3.4"}}, "invalid"),
        ({"records": {"db": "1.2.3.4\n1.2.3.5"}}, "invalid"),
        ({"records": {f"n{n}": "1.2.3.4" for n in range(201)}}, "invalid"),
    ],
)
def test_what_can_not_be_is_refused(host: Host, team: Team, olgas: Actor, sent: SentTasks, spec: dict[str, Any], code: str) -> None:
    """SEC-D1, SEC-G2: no value of one network gets to be two words of a line, or somebody else's address."""
    assert refused(Invalid, team, olgas, **spec).code == code
    assert sent == []


def test_a_name_has_one_taker_in_a_team(host: Host, team: Team, olgas: Actor, make_network: MakeNetwork) -> None:
    make_network(name="lab")
    assert refused(Conflict, team, olgas, name="lab").code == "name_taken"


def test_the_quota_holds(host: Host, team: Team, olgas: Actor, make_network: MakeNetwork) -> None:
    """INV-13, SEC-G3."""
    Team.objects.update(quota_networks=2)
    for _ in range(2):
        make_network()
    refusal = refused(Conflict, team, olgas)
    assert refusal.code == "quota"
    assert "networks: 3 of 2" in refusal.message


def test_a_team_over_another_limit_may_still_make_one(host: Host, team: Team, olgas: Actor, sent: SentTasks) -> None:
    Team.objects.update(quota_instances=0, quota_rules=0)
    make(team, olgas)


def test_who_may(host: Host, team: Team, vics: Actor, nobodys: Actor, make_network: MakeNetwork) -> None:
    """INV-14, INV-15."""
    network = make_network()
    for actor, kind in ((vics, Forbidden), (nobodys, NotFound)):
        refused(kind, team, actor)
        for call in (networks.repair, networks.delete):
            with nothing_changes(*ROWS), pytest.raises(kind):
                call(network, actor=actor)
        with nothing_changes(*ROWS), pytest.raises(kind):
            networks.edit(network, NetworkSpec(mtu=1400), actor=actor)
        with nothing_changes(*ROWS), pytest.raises(kind):
            networks.link(network, [], actor=actor)


def test_no_network_hides_the_panels_database(make_network: MakeNetwork, olgas: Actor, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-09: no route names it, and a guest with its address would be given the panel's password."""
    monkeypatch.setattr(env, "database_url", "postgres://opsweb:secret@10.66.0.5:5432/opsweb")
    monkeypatch.setattr(env, "redis_url", "redis://localhost:6379/0")
    with nothing_changes(*ROWS), pytest.raises(Conflict) as refusal:
        networks.create(team, NetworkSpec(cidr4="10.66.0.1/24"), actor=olgas)
    assert refusal.value.code == "overlap"
    networks.create(team, NetworkSpec(cidr4="10.67.0.1/24"), actor=olgas)


@pytest.mark.parametrize("spec", [{"mode": "uplink", "adapter": "eth1", "cidr4": "192.168.77.1/24"}, {"shared_with": []}])
def test_what_takes_an_admin_of_the_panel(host: Host, team: Team, olgas: Actor, sent: SentTasks, spec: dict[str, Any]) -> None:
    Host.objects.update(network_facts=FACTS)
    refused(Forbidden, team, olgas, **spec)
    make(team, SYSTEM, **spec)


def test_an_uplink_has_its_adapters_addresses(host: Host, team: Team, sent: SentTasks) -> None:
    Host.objects.update(network_facts=FACTS)
    for spec in ({}, {"cidr4": "192.168.34.1/24"}, {"cidr4": "192.168.34.1/24", "adapter": "eth9"}, {"adapter": "eth0"}):
        refused(Invalid, team, SYSTEM, mode="uplink", **spec)
    network = make(team, SYSTEM, mode="uplink", adapter="eth0", cidr4="192.168.34.1/24")
    assert (network.gateway4, network.dhcp, network.pool) == ("192.168.34.1", False, None)
    assert refused(Conflict, team, SYSTEM, mode="uplink", adapter="eth0", cidr4="192.168.36.1/24").code == "adapter_taken"


def test_an_uplink_is_changed_by_admins_of_the_panel_alone(host: Host, team: Team, olgas: Actor, make_network: MakeNetwork) -> None:
    network = make_network(mode="uplink", adapter="eth1", cidr4="192.168.77.1/24")
    for call in (networks.repair, networks.delete):
        with nothing_changes(*ROWS), pytest.raises(Forbidden):
            call(network, actor=olgas)
    networks.delete(network, actor=SYSTEM)


def test_an_edit_writes_what_was_said_and_nothing_else(make_network: MakeNetwork, olgas: Actor, sent: SentTasks) -> None:
    network = make_network(domain="a.example")
    Network.objects.update(observed="up")  # by the worker, meanwhile
    networks.edit(network, NetworkSpec(name="lab", mode="isolated", mtu=1400, records={"db": "192.168.33.5"}), actor=olgas)
    network.refresh_from_db()
    assert (network.name, network.mode, network.mtu, network.observed) == ("lab", "isolated", 1400, "up")
    assert (network.domain, network.records) == ("a.example", {"db": "192.168.33.5"})
    assert sent == [("networks.converge", (str(network.pk),))]
    entry = AuditEntry.objects.get(verb="network.edit")
    assert entry.details == {"fields": ["mode", "mtu", "name", "records"]}


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"mode": "uplink"}, "forbidden"),
        ({"adapter": "eth1"}, "invalid"),
        ({"name": "x y"}, "invalid"),
        ({"name": "taken"}, "name_taken"),
        ({"cidr4": "192.168.33.0/30"}, "no_room"),
        ({"cidr4": "192.168.34.0/24"}, "overlap"),
        ({"cidr4": "192.168.40.0/24"}, "in_use"),
        ({"cidr4": "192.168.33.9/24"}, "in_use"),
        ({"cidr6": "fd00:2::/64"}, "in_use"),
        ({"mtu": 1400, "lease_seconds": 1}, "invalid"),
    ],
)
def test_an_edit_that_is_refused_changes_nothing(
    make_network: MakeNetwork, stopped: Instance, olgas: Actor, sent: SentTasks, spec: dict[str, Any], code: str
) -> None:
    """An existing subnet is never re-addressed while somebody has an address in it."""
    network = make_network(cidr6="fd00:1::/64")
    make_network(name="taken")
    attach(stopped, network)
    sent.clear()
    with nothing_changes(*ROWS), pytest.raises(Refusal) as refusal:
        networks.edit(network, NetworkSpec(**spec), actor=olgas)
    assert refusal.value.code == code
    assert sent == []


def test_an_empty_network_may_move(make_network: MakeNetwork, olgas: Actor) -> None:
    network = make_network(dhcp_first="192.168.33.10", dhcp_last="192.168.33.20")
    networks.edit(network, NetworkSpec(cidr4="192.168.44.1/24"), actor=olgas)
    network.refresh_from_db()
    assert (network.cidr4, network.dhcp_first) == ("192.168.44.0/24", None)


def test_ipv6_comes_and_goes(make_network: MakeNetwork, stopped: Instance, olgas: Actor) -> None:
    network = make_network()
    nic = attach(stopped, network)
    assert nic.address6 is None
    networks.edit(network, NetworkSpec(cidr6="fd00:1::/64"), actor=olgas)
    nic.refresh_from_db()
    assert nic.address6 == "fd00:1::2"
    Operation.objects.update(status="succeeded")
    networks.edit(network, NetworkSpec(cidr6=""), actor=olgas)
    nic.refresh_from_db()
    assert nic.address6 is None


def test_without_dhcp_every_guest_is_told(make_network: MakeNetwork, stopped: Instance, olgas: Actor) -> None:
    network = make_network()
    assert attach(stopped, network).is_fixed is False
    networks.edit(network, NetworkSpec(dhcp=False), actor=olgas)
    assert stopped.nics.get().is_fixed is True


def test_one_at_a_time(make_network: MakeNetwork, olgas: Actor) -> None:
    network = make_network()
    networks.edit(network, NetworkSpec(mtu=1400), actor=olgas)
    with nothing_changes(*ROWS), pytest.raises(Conflict, match="edit by olga") as refusal:
        networks.edit(network, NetworkSpec(mtu=1300), actor=olgas)
    assert refusal.value.code == "busy"
    networks.delete(network, actor=olgas)
    assert list(Operation.objects.filter(verb="edit").values_list("status", flat=True)) == ["superseded"]


def test_what_is_used_stays(make_network: MakeNetwork, make_instance: Any, other_image: Any, olgas: Actor, other_team: Team) -> None:
    network = make_network(shared_with=[other_team])
    for number in range(7):
        attach(make_instance(f"web{number}"), network)
    attach(make_instance("secret", of=other_image), network)
    with nothing_changes(*ROWS), pytest.raises(Conflict) as refusal:
        networks.delete(network, actor=olgas)
    assert refusal.value.code == "in_use"
    assert "web0, web1, web2, web3, web4, 2 more, instances of other teams" in refusal.value.message
    assert "secret" not in refusal.value.message


def test_a_delete_is_a_wish(make_network: MakeNetwork, stopped: Instance, olgas: Actor, sent: SentTasks) -> None:
    network = make_network()
    operation = networks.delete(network, actor=olgas)
    assert (operation.verb, operation.kind, operation.status) == ("delete", "network", "queued")
    assert Network.objects.get().desired == "absent"
    for call in (lambda: networks.edit(network, NetworkSpec(), actor=olgas), lambda: attach(stopped, network)):
        with nothing_changes(*ROWS), pytest.raises(Conflict) as refusal:
            call()
        assert refusal.value.code == "wrong_state"


def test_a_shared_network_is_to_be_used_not_to_be_changed(
    make_network: MakeNetwork, stopped: Instance, other_team: Team, olgas: Actor
) -> None:
    network = make_network(other_team, shared_with=[stopped.team])
    attach(stopped, network)
    with nothing_changes(*ROWS), pytest.raises(Forbidden, match="another team's"):
        networks.edit(network, NetworkSpec(mtu=1400), actor=olgas)
    with nothing_changes(*ROWS), pytest.raises(Conflict, match="payments") as refusal:
        networks.edit(network, NetworkSpec(shared_with=[]), actor=SYSTEM)
    assert refusal.value.code == "in_use"
    attach(stopped, None)
    networks.edit(network, NetworkSpec(shared_with=[]), actor=SYSTEM)
    with pytest.raises(NotFound):
        attach(stopped, network)


def test_only_an_admin_of_the_panel_links(make_network: MakeNetwork, other_team: Team, olgas: Actor, sent: SentTasks) -> None:
    """INV-09: unless an admin says so."""
    one, other = make_network(), make_network(other_team)
    with nothing_changes(*ROWS), pytest.raises(Forbidden):
        networks.link(one, [other], actor=olgas)
    with pytest.raises(Invalid):
        networks.link(one, [one], actor=SYSTEM)
    networks.link(one, [other], actor=SYSTEM)
    assert list(other.linked.all()) == [one]
    assert sent == [("networks.keep_filter", (str(one.host_id),))]
    assert AuditEntry.objects.filter(verb="network.link").count() == 1
