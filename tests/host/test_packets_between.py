"""T4, the other half: which networks meet, what guests reach of the host, where forwards lead. With real sockets in namespaces."""

import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from networks.fabric.filter_forwards import CONNECTIONS
from tests.host import frames as f
from tests.host import spaces
from tests.host.meeting import (
    B1,
    BLUE,
    C1,
    C2,
    CELL,
    D1,
    FORWARDED,
    HERE,
    HOST,
    HOST6,
    LAN,
    LAN_HOST,
    METADATA,
    OUTSIDE,
    OUTSIDE6,
    R1,
    R2,
    RED,
    U1,
    Place,
    hears,
    inject,
    meeting,
)
from tests.namespaces import in_own_namespace

pytestmark = pytest.mark.host

BOTH = pytest.mark.parametrize("protocol", ["tcp", "udp"])
UNHEARD = ("silence", "refused")


@pytest.fixture(scope="module", params=[0, 1], ids=["called-0", "called-1"])
def place(request, tmp_path_factory) -> Iterator[Place]:
    in_own_namespace()
    with meeting(tmp_path_factory.mktemp("run"), request.param) as made:
        made.filter.apply(FORWARDED)
        yield made


@BOTH
def test_neighbours_meet(place, protocol):
    assert place.knock("r1", "r2", protocol, R2.address4) == R1.address4
    assert place.knock("r1", "r2", protocol, R2.address6) == R1.address6
    assert place.knock("c1", "c2", protocol, C2.address4) == C1.address4
    assert place.knock("c1", "c2", protocol, C2.address6) == C1.address6


@BOTH
def test_two_networks_exchange_nothing(place, protocol):
    """INV-09: whatever their modes."""
    for who, at in (("r1", B1), ("b1", R1), ("r1", C1), ("c1", R1), ("d1", R1), ("r1", D1), ("u1", R1), ("r1", U1), ("c1", U1)):
        assert place.knock(who, at.name, protocol, at.address4) in UNHEARD, (who, at.name)
        if at.address6 and who != "u1":
            assert place.knock(who, at.name, protocol, at.address6) in UNHEARD, (who, at.name)


@BOTH
def test_linked_networks_meet(place, protocol):
    """An admin's word, said on either side; taken back, it ends what is open."""
    place.filter.apply((replace(FORWARDED[0], linked=(BLUE.bridge,)), *FORWARDED[1:]))
    try:
        assert place.knock("r1", "b1", protocol, B1.address4) == R1.address4
        assert place.knock("b1", "r1", protocol, R1.address6) == B1.address6
        assert place.knock("c1", "b1", protocol, B1.address4) in UNHEARD
    finally:
        place.filter.apply(FORWARDED)
    assert place.knock("r1", "b1", protocol, B1.address4) in UNHEARD


@BOTH
def test_nat_leads_out_and_answers_come_back(place, protocol):
    """IPv4 and NAT66: under the host's address."""
    assert place.knock("r1", "outside", protocol, OUTSIDE) == HOST
    assert place.knock("r1", "outside", protocol, OUTSIDE6) == HOST6


@BOTH
def test_a_routed_prefix_keeps_its_addresses(place, protocol):
    assert place.knock("d1", "outside", protocol, OUTSIDE) == HOST
    assert place.knock("d1", "outside", protocol, OUTSIDE6) == D1.address6
    assert place.knock("outside", "d1", protocol, D1.address6) == OUTSIDE6


@BOTH
def test_nothing_comes_in_uncalled(place, protocol):
    """INV-09: though the outside knows the way."""
    for at in (R1, B1, C1, D1):
        assert place.knock("outside", at.name, protocol, at.address4) in UNHEARD
    for at in (R1, C1):
        assert place.knock("outside", at.name, protocol, at.address6) in UNHEARD


@BOTH
def test_an_isolated_network_reaches_nothing(place, protocol):
    """INV-09."""
    assert place.knock("c1", "outside", protocol, OUTSIDE) in UNHEARD
    assert place.knock("c1", "outside", protocol, OUTSIDE6) in UNHEARD
    assert place.knock("c1", "lan", protocol, LAN) in UNHEARD


@BOTH
@pytest.mark.parametrize("who", ["r1", "c1", "d1", "u1"])
def test_of_the_host_no_listener_is_reached(place, protocol, who):
    """INV-09: a redis, a database, the panel, on whatever address of the host."""
    addresses = [HOST, "192.168.33.1", "192.168.34.1", "192.168.35.1", LAN_HOST]
    addresses += [] if who == "u1" else [HOST6, "fd12:3456:789a::1", "fd12:3456:789c::1", "2001:db8:35::1"]
    assert place.knock("host", "host", protocol, HOST, 6379) == HOST
    for address in addresses:
        assert place.knock(who, "host", protocol, address, 6379) in UNHEARD, address


@pytest.fixture
def uncounted(place) -> Iterator[None]:
    """What other tests opened counts no more, and what this one opens is not held against them: new tables begin anew."""
    place.filter.remove()
    place.filter.apply(FORWARDED)
    yield
    place.filter.remove()
    place.filter.apply(FORWARDED)


def test_a_guest_that_opens_many_leaves_room_for_others(place, uncounted):
    """SEC-G3: of what conntrack follows, a NIC has its share, over both families; that of others and of the host is theirs."""
    before = _tracked()
    with place.spaces["r1"].inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as guest:
        for number in range(CONNECTIONS - 500):
            guest.sendto(b"?", (R2.address4, 1024 + number))
    with place.spaces["r1"].inside(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as guest:
        for number in range(2000):
            guest.sendto(b"?", (R2.address6, 1024 + number))
    assert CONNECTIONS <= _tracked() - before <= CONNECTIONS + 50
    for address in (R2.address4, R2.address6, OUTSIDE, OUTSIDE6):
        assert place.knock("r1", "outside" if address in (OUTSIDE, OUTSIDE6) else "r2", "tcp", address) in UNHEARD
    assert place.knock("r2", "r1", "tcp", R1.address4) == R2.address4
    assert place.knock("c1", "c2", "tcp", C2.address4) == C1.address4
    assert place.knock("b1", "outside", "tcp", OUTSIDE) == HOST
    assert place.knock("host", "r2", "tcp", R2.address4) == RED.gateway4
    assert place.filter.holds(FORWARDED)


def _tracked() -> int:
    return int(Path("/proc/sys/net/netfilter/nf_conntrack_count").read_text())


SERVER = 950_001  # a uid that nobody else has


@pytest.fixture
def served(place) -> Iterator[None]:
    """A network's own server is at work, for one that asks the outside and for an isolated one."""
    place.filter.apply(
        (replace(FORWARDED[0], uid=SERVER, resolvers=(OUTSIDE, OUTSIDE6)), *FORWARDED[1:2], replace(CELL, uid=SERVER + 1), *FORWARDED[3:])
    )
    yield
    place.filter.apply(FORWARDED)


@BOTH
def test_a_server_that_was_broken_into_reaches_nothing(place, served, protocol):
    """INV-09: as its user: neither the host's listeners, nor guests, nor the outside; nor through a forward. Others of the host do."""
    targets = [("host", "127.0.0.1", 6379), ("host", HOST, 6379), ("host", "::1", 6379)]
    targets += [
        ("r1", R1.address4, 80),
        ("r1", R1.address6, 80),
        ("b1", B1.address4, 80),
        ("outside", OUTSIDE, 80),
        ("outside", OUTSIDE6, 80),
    ]
    targets += [("r1", HOST, 18081), ("r1", "127.0.0.1", 18080), ("u1", U1.address4, 80)]
    for at, address, number in targets:
        assert place.knock("host", at, protocol, address, number) not in UNHEARD, (at, address)
        for uid in (SERVER, SERVER + 1):
            assert place.knock("host", at, protocol, address, number, uid=uid) in UNHEARD, (uid, at, address)


@BOTH
def test_a_server_asks_the_resolvers_of_its_network_and_nobody_else(place, served, protocol):
    """With none of its own it may ask any, for those are the host's of the moment."""
    outside = place.spaces["outside"]
    with (
        closing(spaces.listener(outside, protocol, "0.0.0.0", 53)) as far,
        closing(spaces.listener(HERE, protocol, "127.0.0.1", 53)) as near,
    ):
        assert spaces.knock(HERE, far, protocol, OUTSIDE, 53, uid=SERVER) == HOST
        assert spaces.knock(HERE, near, protocol, "127.0.0.1", 53, uid=SERVER) in UNHEARD
        assert spaces.knock(HERE, far, protocol, OUTSIDE, 53, uid=SERVER + 1) in UNHEARD
        place.filter.apply((replace(FORWARDED[0], uid=SERVER), *FORWARDED[1:]))
        assert spaces.knock(HERE, near, protocol, "127.0.0.1", 53, uid=SERVER) == "127.0.0.1"


def test_a_refusal_is_quick(place):
    """A guest that asks its gateway for what it has not hears so at once."""
    assert place.knock("r1", "host", "tcp", RED.gateway4, 6379) == "refused"
    assert place.knock("r1", "host", "udp", RED.gateway4, 6379) == "refused"
    assert place.knock("r1", "host", "tcp", RED.gateway6, 6379) == "refused"


@BOTH
def test_the_gateway_answers_names(place, protocol):
    """And of the host, only the guest's own gateway."""
    with closing(spaces.listener(HERE, protocol, "0.0.0.0", 53)) as door4, closing(spaces.listener(HERE, protocol, "::", 53)) as door6:
        for who, plan, nic in (("r1", RED, R1), ("c1", CELL, C1)):
            assert spaces.knock(place.spaces[who], door4, protocol, plan.gateway4, 53) == nic.address4
            assert spaces.knock(place.spaces[who], door6, protocol, plan.gateway6, 53) == nic.address6
        for address in (HOST, BLUE.gateway4, HOST6, BLUE.gateway6):
            assert spaces.knock(place.spaces["r1"], door6 if ":" in address else door4, protocol, address, 53) in UNHEARD
        assert spaces.knock(place.spaces["u1"], door4, protocol, LAN_HOST, 53) in UNHEARD


@pytest.mark.parametrize(("address", "answers"), [(RED.gateway4, True), (RED.gateway6, True), (HOST, False), (BLUE.gateway4, False)])
def test_the_gateway_answers_ping(place, address, answers):
    assert spaces.ping(place.spaces["r1"], address) == answers


@BOTH
def test_metadata_services_are_out_of_reach(place, protocol):
    """INV-09: where a cloud answers for the machine, a guest hears nothing."""
    assert place.knock("host", "outside", protocol, METADATA) == "169.254.0.1"
    for who in ("r1", "d1", "c1"):
        assert place.knock(who, "outside", protocol, METADATA) in UNHEARD


def test_loopback_is_nobodys_but_the_hosts(place):
    """Forwards let 127/8 onto our bridges (route_localnet): the raw drop must hold, from both sides."""
    door = place.doors["host", "udp", 4]
    for source, to in ((R1.address4, "127.0.0.1"), ("127.0.0.1", RED.gateway4)):
        packet = f.ip4(source, to, f.UDP, f.udp(5000, 6379))
        inject(place, "r1", f.ethernet(R1.mac, "02:00:00:00:01:01", f.IP4, packet))
        assert hears(door) == "silence"
    place.filter.remove()
    try:
        inject(place, "r1", f.ethernet(R1.mac, "02:00:00:00:01:01", f.IP4, f.ip4(R1.address4, "127.0.0.1", f.UDP, f.udp(5000, 6379))))
        assert hears(door) == R1.address4
    finally:
        place.filter.apply(FORWARDED)


@BOTH
def test_an_uplink_is_its_lan(place, protocol):
    """The LAN meets guest and host as before; for the guest the host is neither a neighbour nor a router."""
    assert place.knock("lan", "u1", protocol, U1.address4) == LAN
    assert place.knock("u1", "lan", protocol, LAN) == U1.address4
    assert place.knock("lan", "host", protocol, LAN_HOST, 6379) == LAN
    assert place.knock("r1", "lan", protocol, LAN) == LAN_HOST
    assert place.knock("lan", "r1", protocol, R1.address4) in UNHEARD
    assert place.knock("lan", "r1", protocol, LAN_HOST, 18082) == LAN
    place.spaces["u1"].ip(f"route add {OUTSIDE} via {LAN_HOST}")
    try:
        assert place.knock("u1", "outside", protocol, OUTSIDE) in UNHEARD
    finally:
        place.spaces["u1"].ip(f"route del {OUTSIDE}")


def test_the_hosts_own_routing_goes_on(place):
    """INV-04: what passes between its LAN and the outside, and is nobody's of ours, is not ours to judge."""
    assert place.knock("lan", "outside", "tcp", OUTSIDE) == LAN


def test_a_bridge_that_no_plan_knows_leads_nowhere(place):
    """As while a network is being taken away: first the plan, then the links."""
    place.filter.apply(FORWARDED[1:])
    try:
        assert place.knock("r1", "outside", "tcp", OUTSIDE) in UNHEARD
        assert place.knock("outside", "r1", "tcp", R1.address4) in UNHEARD
        assert place.knock("r1", "host", "tcp", RED.gateway4, 6379) in UNHEARD
    finally:
        place.filter.apply(FORWARDED)
