"""networks.shown: a network's addresses, leases and forwards for one viewer; a stranger's instances have no names there."""

from typing import Any

import pytest

from networks import shown
from networks.models import Network
from networks.plans import network_plan
from networks.ports import parse_ports
from networks.services.forwards import set_forwards
from networks.services.nics import NicSpec, set_nics
from networks.sharing import usable_by, visible
from networks.states import Observed
from opsweb.core.access import SYSTEM, Actor
from opsweb.core.models import Operation
from opsweb.teams.models import Team
from tests.unit.networks.conftest import MakeNetwork

SOON = "2027-01-01T00:00:00+00:00"


@pytest.fixture
def filled(make_network: MakeNetwork, make_instance: Any, other_image: Any, other_team: Team) -> Network:
    """Shared by two teams: .9 fixed and .2 leased are the first's, .3 is the other's; .50 was leased by somebody gone."""
    network = make_network(shared_with=[other_team], records={"db": "192.168.33.200"}, cidr6="fd00:1::/64")
    for name, image, spec in (
        ("mine", None, {}),
        ("secret", other_image, {}),
        ("fixed", None, {"address4": "192.168.33.9"}),
    ):
        instance = make_instance(name, of=image) if image else make_instance(name)
        set_nics(instance, [NicSpec(network, **spec)], actor=SYSTEM)
        ports = parse_ports([{"mine": "8080:80", "secret": "8081:80", "fixed": "53:53/udp"}[name]])
        set_forwards(instance.nics.get(), ports, host=instance.host, team_id=instance.team_id, actor=SYSTEM)
    mac = network.nics.get(address4="192.168.33.2").mac
    Network.objects.update(
        leases=[
            {"mac": mac, "address": "192.168.33.2", "name": "guest", "expires_at": SOON},
            {"mac": "02:00:00:00:00:09", "address": "192.168.33.50", "name": "ghost", "expires_at": None},
            {"mac": "", "address": "fd00:1::3", "name": "hidden", "expires_at": SOON},
        ]
    )
    return shown.with_nics(Network.objects.all()).get()


def test_all_addresses_in_order(filled: Network, olgas: Actor, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        rows = shown.addresses(filled, olgas)
    assert [(row.state, row.first.rpartition(".")[2], row.count, row.instance) for row in rows] == [
        ("gateway", "1", 1, ""),
        ("leased", "2", 1, "mine"),
        ("reserved", "3", 1, shown.STRANGER),
        ("free", "4", 5, ""),
        ("reserved", "9", 1, "fixed"),
        ("free", "10", 40, ""),
        ("foreign", "50", 1, ""),
        ("free", "51", 149, ""),
        ("record", "200", 1, "db"),
        ("free", "201", 54, ""),
    ]
    assert (rows[1].address6, rows[4].is_fixed, rows[2].instance_id) == ("fd00:1::2", True, None)
    assert rows[1].lease_expires_at is not None
    usage = shown.usage(filled, rows)
    assert (usage.reserved, usage.leased, usage.free) == (3, 1, 248)


def test_a_stranger_has_no_name(filled: Network, olgas: Actor) -> None:
    """INV-15: neither of its instance, nor what its guest calls itself."""
    rows: list[Any] = [*shown.addresses(filled, olgas), *shown.leases(filled, olgas), *shown.forwards(filled, olgas)]
    text = repr(rows)
    assert "secret" not in text
    assert "hidden" not in text
    assert "ghost" not in text  # a lease outlives its NIC, and with it the knowledge whose it was
    assert "8081" not in text
    assert "secret" in repr(shown.addresses(filled, SYSTEM))


def test_leases_with_who_has_them(filled: Network, olgas: Actor, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        rows = shown.leases(filled, olgas)
    assert [(row.address, row.name, row.instance) for row in rows] == [
        ("192.168.33.2", "guest", "mine"),
        ("192.168.33.50", "", ""),
        ("fd00:1::3", "", shown.STRANGER),
    ]


def test_forwards_with_where_they_lead(filled: Network, olgas: Actor, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        rows = shown.forwards(filled, olgas)
    assert [(row.protocol, row.host_port, row.address4, row.guest_port, row.instance) for row in rows] == [
        ("tcp", 8080, "192.168.33.2", 80, "mine"),
        ("udp", 53, "192.168.33.9", 53, "fixed"),
    ]


def test_many_networks_take_no_more_queries_than_one(
    filled: Network, make_network: MakeNetwork, olgas: Actor, django_assert_num_queries: Any
) -> None:
    for _ in range(4):
        make_network()
    with django_assert_num_queries(7):
        rows = list(shown.with_nics(visible(olgas)))
        shown.active_operations(rows)
        shown.nic_counts(rows)
    assert len(rows) == 5


def test_who_sees_and_who_uses_what(make_network: MakeNetwork, team: Team, other_team: Team, olgas: Actor, nobodys: Actor) -> None:
    """INV-15."""
    mine, theirs, shared = make_network(), make_network(other_team), make_network(other_team, shared_with=[team])
    assert set(visible(olgas)) == {mine, shared}
    assert set(visible(nobodys)) == set()
    assert set(visible(SYSTEM)) == {mine, theirs, shared}
    assert set(usable_by(team.pk)) == {mine, shared}
    Network.objects.filter(pk=shared.pk).update(desired="absent")
    assert set(usable_by(team.pk)) == {mine}
    assert set(visible(Actor(user_id=1, name="x", roles=olgas.roles, scopes=frozenset({"write"})))) == set()


def test_the_badge_is_derived(make_network: MakeNetwork) -> None:
    network = make_network()
    assert shown.badge(network, None).label == "Not seen yet"
    assert shown.badge(network, Operation(verb="edit")) == shown.Badge("Applying…", "wait")
    network.observed = Observed.UP
    assert shown.badge(network, None) == shown.Badge("Up", "run")
    network.drift = [{"what": "bridge", "reason": "is gone", "at": SOON, "mended": False}]
    assert shown.badge(network, None) == shown.Badge("Drifted", "bad")
    network.observed = Observed.FAILED
    assert shown.badge(network, None).tone == "bad"
    network.desired = "absent"
    assert shown.badge(network, None) == shown.Badge("Deleting…", "wait")


def test_names_in_the_domain_are_unique(filled: Network, make_instance: Any, other_team: Team, other_image: Any) -> None:
    """Two teams may have a bob each, and a bob two NICs, on one network."""
    bob, other_bob = make_instance("bob"), make_instance("bob", of=other_image)
    set_nics(other_bob, [NicSpec(filled)], actor=SYSTEM)
    set_nics(bob, [NicSpec(filled), NicSpec(filled)], actor=SYSTEM)
    db = make_instance("db", of=other_image)  # a record of the network's own team
    set_nics(db, [NicSpec(filled)], actor=SYSTEM)
    long = [make_instance("x" * 40, of=image) for image in (bob.image, other_image)]
    Team.objects.filter(pk=other_team.pk).update(name="y" * 40)
    for instance in long:
        set_nics(instance, [NicSpec(filled), NicSpec(filled, "n" * 15)], actor=SYSTEM)
    names = [nic.name for nic in network_plan(Network.objects.get()).nics]
    assert len(set(names)) == len(names) == 11
    assert {"bob", "bob-tap1", f"bob-{'y' * 40}", f"db-{'y' * 40}"} <= set(names)
    assert "db" not in names
    assert max(map(len, names)) <= 63
