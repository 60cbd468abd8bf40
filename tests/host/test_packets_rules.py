"""T4 of rules: what people wrote is what holds, in their order, for both families, wherever the packet comes from (SEC-F3)."""

import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace

import pytest

from networks.fabric.base import Endpoint, ForwardPlan, RulePlan
from tests.host import frames as f
from tests.host import spaces
from tests.host.meeting import (
    ALL,
    B1,
    BLUE,
    HERE,
    HOST,
    OUTSIDE,
    R1,
    R2,
    RED,
    ROUTED,
    U1,
    Place,
    hears,
    inject,
    meeting,
    rule,
    with_nic,
    with_rules,
)
from tests.namespaces import in_own_namespace

pytestmark = pytest.mark.host

BOTH = pytest.mark.parametrize("protocol", ["tcp", "udp"])


@pytest.fixture(scope="module", params=[0, 1], ids=["called-0", "called-1"])
def place(request, tmp_path_factory) -> Iterator[Place]:
    in_own_namespace()
    with meeting(tmp_path_factory.mktemp("run"), request.param) as made:
        for number in (80, 9003, 9006):
            for protocol in ("tcp", "udp"):
                if number != 80:
                    made.doors["r2", protocol, number] = spaces.listener(made.spaces["r2"], protocol, "0.0.0.0", number)
        yield made
        for key, door in made.doors.items():
            if key[2] > 6:
                door.close()


@pytest.fixture(autouse=True)
def afresh(place) -> None:
    """Each test starts without rules and without connections that conntrack remembers."""
    place.filter.remove()
    place.filter.apply(ALL)


@BOTH
def test_without_a_rule_that_fits_it_is_allowed(place, protocol):
    place.filter.apply(with_rules(rule(False, True, "tcp", (81, 90)), rule(False, True, peers=("10.0.0.0/8", "2001:db8:ffff::/48"))))
    assert place.met("r1", "r2", protocol, R2.address4)
    assert place.met("r1", "r2", protocol, R2.address6)


@BOTH
@pytest.mark.parametrize("inbound", [True, False])
def test_no_allow_lifts_what_is_firm(place, protocol, inbound):
    """INV-09: on a network of others its owner's list holds as well; an instance may deny more, and lifts nothing."""
    nic, deny, allow = R2 if inbound else R1, rule(False, inbound, protocol, (80, 80)), rule(True, inbound)

    def says(firm: tuple[RulePlan, ...], own: tuple[RulePlan, ...]) -> list[bool]:
        place.filter.apply((with_nic(RED, nic, firm=firm, rules=own), *ALL[1:]))
        return [place.met("r1", "r2", protocol, address) for address in (R2.address4, R2.address6)]

    assert says((deny,), (allow,)) == [False, False]
    assert says((deny,), ()) == [False, False]
    assert says((allow,), (deny,)) == [False, False]
    assert says((allow, deny), (allow,)) == [True, True]
    assert says((allow,), ()) == [True, True]


def test_a_new_firm_deny_ends_what_is_open_under_an_allow(place):
    """SEC-F3."""
    allow = rule(True, True)
    place.filter.apply(with_rules(allow))
    with place.spaces["r1"].inside():
        near = socket.create_connection((R2.address4, 80), timeout=2)
    with near, place.doors["r2", "tcp", 4].accept()[0] as far:
        far.settimeout(spaces.SILENCE)
        near.send(b"one")
        assert far.recv(10) == b"one"
        place.filter.apply((with_nic(RED, R2, firm=(rule(False, True, "tcp", (80, 80)),), rules=(allow,)), *ALL[1:]))
        near.send(b"two")
        with pytest.raises(TimeoutError):
            far.recv(10)


def test_what_is_for_everybody_is_firmly_denied(place):
    """A broadcast that the owner denies reaches nobody who allows it."""
    broadcast, door = "192.168.33.255", place.doors["r2", "udp", 4]
    words = f.ethernet(R1.mac, f.BROADCAST, f.IP4, f.ip4(R1.address4, broadcast, f.UDP, f.udp(5000, 80)))
    inject(place, "r1", words)
    assert hears(door) == R1.address4
    place.filter.apply((with_nic(RED, R2, firm=(rule(False, True, "udp"),), rules=(rule(True, True),)), *ALL[1:]))
    inject(place, "r1", words)
    assert hears(door) == "silence"


@BOTH
def test_the_first_rule_that_fits_decides(place, protocol):
    allow, deny = rule(True, True, protocol, (80, 80)), rule(False, True)
    place.filter.apply(with_rules(allow, deny))
    assert place.met("r1", "r2", protocol, R2.address4)
    assert place.met("r1", "r2", protocol, R2.address6)
    assert not place.met("r1", "r2", "udp" if protocol == "tcp" else "tcp", R2.address4)
    place.filter.apply(with_rules(deny, allow))
    assert not place.met("r1", "r2", protocol, R2.address4)
    assert not place.met("r1", "r2", protocol, R2.address6)


@BOTH
def test_ports_are_a_range(place, protocol):
    place.filter.apply(with_rules(rule(False, True, protocol, (9000, 9005))))
    for number, reached in ((9003, False), (9006, True)):
        door = place.doors["r2", protocol, number]
        assert (spaces.knock(place.spaces["r1"], door, protocol, R2.address4, number) == R1.address4) == reached


@BOTH
def test_a_protocol_is_itself_alone(place, protocol):
    place.filter.apply(with_rules(rule(False, True, protocol)))
    assert not place.met("r1", "r2", protocol, R2.address4)
    assert place.met("r1", "r2", "udp" if protocol == "tcp" else "tcp", R2.address4)
    assert spaces.ping(place.spaces["r1"], R2.address4)


def test_icmp_is_of_both_families_and_neighbours_are_still_found(place):
    """A rule against ICMP must not take the network itself away."""
    place.filter.apply(with_rules(rule(False, True, "icmp")))
    place.spaces["r1"].ip("neigh flush all")
    assert not spaces.ping(place.spaces["r1"], R2.address4)
    assert not spaces.ping(place.spaces["r1"], R2.address6)
    assert place.met("r1", "r2", "tcp", R2.address6)


@BOTH
def test_peers_by_address(place, protocol):
    """One, several, of both families; overlapping ones too."""
    for peers in ((R1.address4, R1.address6), ("192.168.33.0/25", "192.168.33.8/29", "192.168.33.10", "fd12:3456:789a::/64")):
        place.filter.apply(with_rules(rule(True, True, peers=peers), rule(False, True)))
        assert place.met("r1", "r2", protocol, R2.address4)
        assert place.met("r1", "r2", protocol, R2.address6)
        place.filter.apply(with_rules(rule(False, True, peers=peers)))
        assert not place.met("r1", "r2", protocol, R2.address4)
        assert not place.met("r1", "r2", protocol, R2.address6)
    place.filter.apply(with_rules(rule(False, True, peers=("192.168.33.12",))))
    assert place.met("r1", "r2", protocol, R2.address4)


@BOTH
def test_a_rule_for_an_empty_group_fits_nothing(place, protocol):
    """SEC-F3 (CVE-2014-0187): it neither opens nor closes, and switches no other rule off."""
    place.filter.apply(with_rules(rule(True, True, peers=()), rule(False, True)))
    assert not place.met("r1", "r2", protocol, R2.address4)
    place.filter.apply(with_rules(rule(False, True, peers=())))
    assert place.met("r1", "r2", protocol, R2.address4)


@BOTH
def test_rules_for_what_goes_out(place, protocol):
    place.filter.apply(with_rules(rule(True, False, peers=(R2.address4,)), rule(False, False), nic=R1))
    assert place.met("r1", "r2", protocol, R2.address4)
    assert not place.met("r1", "r2", protocol, R2.address6)
    assert not place.met("r1", "outside", protocol, OUTSIDE)
    assert place.met("r2", "r1", protocol, R1.address4)
    assert place.met("r2", "r1", protocol, R1.address6)


@BOTH
def test_answers_need_no_rule(place, protocol):
    """Stateful: who may ask hears the answer, whatever may not be asked the other way."""
    place.filter.apply((with_nic(with_nic(RED, R1, rules=(rule(False, True),)), R2, rules=(rule(False, False),)), *ALL[1:]))
    assert place.met("r1", "r2", protocol, R2.address4)
    assert place.met("r1", "r2", protocol, R2.address6)
    assert place.met("r1", "outside", protocol, OUTSIDE)
    assert not place.met("r2", "r1", protocol, R1.address4)


@BOTH
def test_rules_hold_for_the_gateways_services(place, protocol):
    """A guest that may say nothing asks no names either; DHCP is no matter of rules."""
    with closing(spaces.listener(HERE, protocol, "0.0.0.0", 53)) as door:
        assert spaces.knock(place.spaces["r1"], door, protocol, RED.gateway4, 53) == R1.address4
        place.filter.apply(with_rules(rule(False, False), nic=R1))
        assert spaces.knock(place.spaces["r1"], door, protocol, RED.gateway4, 53) in ("silence", "refused")


@BOTH
def test_rules_hold_for_forwards(place, protocol):
    """By the guest's own port and the asker's address: from outside, by hairpin, and from the host itself."""
    publics = (ForwardPlan(Endpoint(protocol, HOST, 18081), 80), ForwardPlan(Endpoint(protocol, "127.0.0.1", 18080), 80))
    knocks = [("outside", HOST, 18081), ("r1", HOST, 18081), ("host", HOST, 18081), ("host", "127.0.0.1", 18080)]

    def reached(*rules: RulePlan) -> list[bool]:
        place.filter.apply((with_nic(RED, R2, rules=rules, forwards=publics), *ALL[1:]))
        return [place.met(who, "r2", protocol, address, number) for who, address, number in knocks]

    assert reached() == [True] * 4
    assert reached(rule(False, True, protocol, (80, 80))) == [False] * 4
    assert reached(rule(False, True, protocol, (18081, 18081))) == [True] * 4
    assert reached(rule(True, True, peers=(f"{OUTSIDE}/32",)), rule(False, True)) == [True, False, False, False]


@BOTH
def test_rules_hold_for_routed_and_linked_networks(place, protocol):
    place.filter.apply(
        (with_nic(replace(RED, linked=(BLUE.bridge,)), R2, rules=(rule(False, True, peers=(f"{B1.address4}/32",)),)), *ALL[1:])
    )
    assert not place.met("b1", "r2", protocol, R2.address4)
    assert place.met("b1", "r1", protocol, R1.address4)
    (d1,) = ROUTED.nics
    place.filter.apply((*ALL[:3], with_nic(ROUTED, d1, rules=(rule(False, True),)), ALL[4]))
    assert not place.met("outside", "d1", protocol, d1.address6)


@BOTH
def test_rules_hold_for_the_lan_of_an_uplink(place, protocol):
    """The host is one of the LAN, too."""
    place.filter.apply((*ALL[:4], with_nic(ALL[4], U1, rules=(rule(False, True, protocol, (80, 80)),))))
    assert not place.met("lan", "u1", protocol, U1.address4)
    assert not place.met("host", "u1", protocol, U1.address4)
    assert spaces.ping(place.spaces["lan"], U1.address4)


@BOTH
def test_no_allow_lifts_what_is_firm_on_an_uplink(place, protocol):
    """INV-09: from its LAN, the host included."""
    place.filter.apply((*ALL[:4], with_nic(ALL[4], U1, firm=(rule(False, True, protocol, (80, 80)),), rules=(rule(True, True),))))
    assert not place.met("lan", "u1", protocol, U1.address4)
    assert not place.met("host", "u1", protocol, U1.address4)
    assert spaces.ping(place.spaces["lan"], U1.address4)


def test_what_is_for_everybody_is_judged_too(place):
    """A broadcast has no guest's address, and yet it reaches only those whose rules let it in."""
    shouts = (("255.255.255.255", f.BROADCAST), ("192.168.33.255", f.BROADCAST), ("224.0.0.251", "01:00:5e:00:00:fb"))
    with closing(_ears(place, "r2")) as ears:
        for rules, heard in (((), True), ((rule(False, True, "udp", (4711, 4711)),), False), ((rule(False, True),), False)):
            place.filter.apply(with_rules(*rules))
            for to, mac in shouts:
                frame = f.ethernet(R1.mac, mac, f.IP4, f.ip4(R1.address4, to, f.UDP, f.udp(5000, 4711)))
                assert _hears(ears, frame, place) == heard, (to, rules)
        arp = f.arp(R1.mac, 1, (R1.mac, R1.address4), ("00:00:00:00:00:00", "192.168.33.99"))
        assert _hears(ears, arp, place)
        to, mac = f.multicast_of("fd12:3456:789a::99")
        solicit = f.icmp6((R1.address6, to), 135, f.solicit("fd12:3456:789a::99"))
        assert _hears(ears, f.ethernet(R1.mac, mac, f.IP6, f.ip6(R1.address6, to, f.ICMP6, solicit)), place)


def _ears(place: Place, who: str) -> socket.socket:
    with place.spaces[who].inside():
        ears = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        ears.bind(("eth0", 3))
    ears.settimeout(spaces.SILENCE)
    return ears


def _hears(ears: socket.socket, frame: bytes, place: Place) -> bool:
    with place.spaces["r1"].inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        raw.send(frame)
    with suppress(TimeoutError):
        while ears.recv(2048) != frame:
            pass
        return True
    return False
