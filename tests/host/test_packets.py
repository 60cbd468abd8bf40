"""T4: the test holds the taps itself, says to the kernel what guests may and may not, and looks who hears it.

Run for each combination of a NIC's options, with the host's sysctl for bridged packets off and on (field note 37).
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from uuid import UUID

import pytest

from networks.fabric.base import Mode, NetworkPlan, NicPlan, RulePlan
from networks.fabric.packet_filter import PacketFilter
from tests.host import frames as f
from tests.host.spaces import ip, sysctl
from tests.host.spoofs import (
    CHATTER,
    GATEWAY,
    LEGAL4,
    LEGAL6,
    ME,
    NO_CHATTER,
    NOTHING,
    OTHER,
    PEER,
    SPOOFS,
    Who,
    eth4,
    eth6,
    udp4,
    udp6,
)
from tests.host.taps import Ears, Tap, bridged, port
from tests.namespaces import in_own_namespace

pytestmark = pytest.mark.host

TAG = "d00d"
RED, BLUE = f"ow{TAG}00000001b", f"ow{TAG}00000002b"
MINE, PEERS, OTHERS = f"ow{TAG}0000000at", f"ow{TAG}0000000bt", f"ow{TAG}0000000ct"
RULES = (
    RulePlan(UUID(int=1), allow=True, inbound=True, protocol="udp", peers=("192.168.33.0/24", "fd12::/16")),
    RulePlan(UUID(int=2), allow=False, inbound=True, protocol="tcp", ports=(22, 25)),
    RulePlan(UUID(int=3), allow=False, inbound=False, protocol="tcp", ports=(25, 25)),
)
OPTIONS = {
    "v4": {"has6": False},
    "dual": {"has6": True},
    "rate": {"has6": True, "rate": 1_000_000},
    "rules": {"has6": True, "rules": RULES},
    "v4-rate-rules": {"has6": False, "rate": 1_000_000, "rules": RULES},
}
UNCOUNTED = {"a multicast mac", "lldp"}  # the bridge itself forwards none of these, and asks no filter
BROKEN = {
    "ipv4 under ipv6's kind",
    "ipv6 under ipv4's kind",
    "an ipv4 header cut short",
    "an ipv4 header that promises more",
    "an ipv6 header cut short",
    "lldp to all bridges",
    "eapol",
}
MARKER = f.arp(ME.mac, 1, (ME.mac, ME.v4), (NOTHING, "192.168.33.99"))


def nic(who: Who, tap: str, *, has6: bool, rate: int = 0, rules: tuple[RulePlan, ...] = ()) -> NicPlan:
    return NicPlan(tap, who.mac, "guest", who.v4, who.v6 if has6 else "", rate_kbit=rate, rules=rules)


@dataclass
class Place:
    """Two networks, three taps; `host` hears what comes up from the first bridge."""

    filter: PacketFilter
    plans: tuple[NetworkPlan, ...]
    mine: Tap
    peers: Tap
    others: Tap
    host: Ears
    has6: bool

    def say(self, *frames: bytes) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """What peer, host and the other network hear of it, before a word that all of ours hear."""
        for tap in (self.peers, self.others, self.mine):
            tap.received()
        self.host.heard()
        for frame in (*frames, MARKER):
            self.mine.send(frame)
        at_peer = self.peers.until(MARKER)
        at_host = self.host.heard()
        assert at_host.pop() == MARKER
        return at_peer, at_host, self.others.received()

    def dropped(self) -> int:
        return self.filter.counts().nics[MINE].dropped[0]


@pytest.fixture(scope="module", params=[f"{name}-{called}" for called in (0, 1) for name in OPTIONS])
def place(request, tmp_path_factory) -> Iterator[Place]:
    """For each combination of options, under either value of the host's sysctl."""
    in_own_namespace()
    name, _, called = request.param.rpartition("-")
    options = OPTIONS[name]
    plans = networks(**options)
    packet_filter = PacketFilter(TAG, tmp_path_factory.mktemp("run"))
    with ExitStack() as stack:
        stack.callback(packet_filter.remove)
        packet_filter.apply(plans)
        for bridge, mac, number in ((RED, GATEWAY.mac, 33), (BLUE, "02:00:00:00:00:02", 34)):
            six = (f"fd12:3456:789{'ab'[number - 33]}::1/64",) if options["has6"] else ()
            stack.enter_context(bridged(bridge, mac, addresses=(f"192.168.{number}.1/24", *six)))
        for setting in ("iptables", "ip6tables"):
            sysctl(f"bridge.bridge-nf-call-{setting}", int(called))
        taps = [stack.enter_context(plugged(*of)) for of in ((MINE, RED, ME), (PEERS, RED, PEER), (OTHERS, BLUE, OTHER))]
        ears = Ears(RED)
        stack.callback(ears.close)
        yield Place(packet_filter, plans, *taps, ears, options["has6"])


def networks(**options) -> tuple[NetworkPlan, ...]:
    has6 = options["has6"]
    six = ({"cidr6": f"fd12:3456:789{x}::/64", "gateway6": f"fd12:3456:789{x}::1"} if has6 else {} for x in "ab")
    red = NetworkPlan(UUID(int=1), "br0", RED, Mode.NAT, "192.168.33.0/24", GATEWAY.v4, **next(six))
    blue = NetworkPlan(UUID(int=2), "br0", BLUE, Mode.NAT, "192.168.34.0/24", "192.168.34.1", **next(six))
    peers = nic(PEER, PEERS, has6=has6, rules=options.get("rules", ()))
    return replace(red, nics=(nic(ME, MINE, **options), peers)), replace(blue, nics=(nic(OTHER, OTHERS, has6=has6),))


@contextmanager
def plugged(tap: str, bridge: str, who: Who) -> Iterator[Tap]:
    opened = Tap(tap)
    try:
        port(tap, bridge, who.mac)
        yield opened
    finally:
        opened.close()


@pytest.mark.parametrize("name", SPOOFS)
def test_a_spoof_reaches_nobody(place, name):
    """INV-08, SEC-G1: neither the neighbour, nor the host, nor another network; and it is counted."""
    before = place.dropped()
    assert place.say(SPOOFS[name]) == ([], [], [])
    assert place.dropped() == before + (name not in UNCOUNTED)


@pytest.mark.parametrize("name", LEGAL4 | LEGAL6)
def test_a_legal_frame_arrives(place, name):
    """And nothing over IPv6 from a guest that has none."""
    where, frame = (LEGAL4 | LEGAL6)[name]
    before = place.dropped()
    at_peer, at_host, elsewhere = place.say(frame)
    if name in LEGAL6 and not place.has6:
        assert (at_peer, at_host, elsewhere) == ([], [], [])
        assert place.dropped() == before + (name not in CHATTER)
        return
    assert (frame in at_peer) == (where != "host")
    assert at_host == ([frame] if where != "peer" else [])
    assert elsewhere == []
    assert not {frame, MARKER} & set(place.mine.received())  # nobody hears himself
    assert place.dropped() == before


@pytest.mark.parametrize("name", CHATTER)
def test_without_ipv6_its_chatter_reaches_nobody_and_counts_for_nothing(place, name):
    """A drop that is counted is a sign of something: a healthy guest shows none."""
    if place.has6:
        pytest.skip("This guest has IPv6.")
    before = place.dropped()
    assert place.say(CHATTER[name]) == ([], [], [])
    assert place.dropped() == before


@pytest.mark.parametrize("name", NO_CHATTER)
def test_without_ipv6_whatever_is_no_chatter_is_counted(place, name):
    if place.has6:
        pytest.skip("This guest has IPv6.")
    before = place.dropped()
    assert place.say(NO_CHATTER[name]) == ([], [], [])
    assert place.dropped() == before + 1


def test_pieces_of_a_legal_packet_arrive(place):
    whole = f.udp(5000, 6000, b"z" * 1200)
    pieces = [eth4(f.ip4(ME.v4, PEER.v4, f.UDP, whole[at : at + 608], fragment=at, more=at == 0)) for at in (0, 608)]
    at_peer, at_host, _ = place.say(*pieces)
    assert b"".join(frame[34:] for frame in at_peer) == whole
    assert at_host == []


def test_pieces_of_a_legal_packet_arrive_over_ipv6(place):
    if not place.has6:
        pytest.skip("This guest has no IPv6.")
    whole = udp6(ME.v6, PEER.v6)[54:]
    pieces = [eth6(f.ip6(ME.v6, PEER.v6, 44, f.fragment6(f.UDP, at, at == 0) + whole[at : at + 16])) for at in (0, 16)]
    at_peer, _, _ = place.say(*pieces)
    assert b"".join(frame[62:] for frame in at_peer) == whole


def test_another_network_hears_nothing(place):
    """INV-09: by its address, by its MAC, by the host as a router."""
    frames = [udp4(ME.v4, OTHER.v4, mac=OTHER.mac), udp4(ME.v4, OTHER.v4, mac=GATEWAY.mac), udp4(ME.v4, "192.168.34.255", mac=f.BROADCAST)]
    if place.has6:
        frames += [udp6(ME.v6, OTHER.v6, mac=OTHER.mac), udp6(ME.v6, OTHER.v6, mac=GATEWAY.mac)]
    for frame in frames:
        assert place.say(frame)[2] == []


def test_what_passes_is_counted(place):
    """Of the sender and of who gets it."""
    before = place.filter.counts().nics
    place.say(udp4(ME.v4, PEER.v4))
    after = place.filter.counts().nics
    sent = len(MARKER) - 14 + 20 + 8 + 20
    assert [a - b for a, b in zip(after[MINE].passed_out, before[MINE].passed_out, strict=True)] == [2, sent]
    assert [a - b for a, b in zip(after[PEERS].passed_in, before[PEERS].passed_in, strict=True)] == [2, sent]
    assert after[PEERS].passed_out == before[PEERS].passed_out


def test_a_tap_that_no_plan_knows_is_dumb(place):
    """INV-08: whatever the order of things, a tap without rules says nothing."""
    stray = f"ow{TAG}000000fft"
    with plugged(stray, RED, replace(ME, mac="02:00:00:00:00:ff")) as tap:
        tap.send(f.arp("02:00:00:00:00:ff", 1, ("02:00:00:00:00:ff", "192.168.33.66"), (NOTHING, GATEWAY.v4)))
        tap.send(udp4(ME.v4, PEER.v4))
        assert place.say() == ([], [], [])


def test_no_spoof_passes_in_the_first_milliseconds(place):
    """INV-08: a guest that talks while its link comes up, again and again."""
    spoof, done = SPOOFS["arp claims the gateway"], threading.Event()
    ip(f"link set {MINE} down")

    def chatter() -> None:
        while not done.is_set():
            with suppress(OSError):  # not up yet
                place.mine.send(spoof)
                place.mine.send(MARKER)

    talker = threading.Thread(target=chatter)
    talker.start()
    try:
        ip(f"link set {MINE} up")
        before = place.peers.until(MARKER)
    finally:
        done.set()
        talker.join(10)
    heard = {*before, *place.peers.received(), *place.host.heard()}
    assert {frame for frame in heard if not _is_of_the_bridge(frame)} == {MARKER}


def _is_of_the_bridge(frame: bytes) -> bool:
    """The host tells which IPv6 groups it is in, a moment after its bridge is up."""
    return frame[6:14] == f.mac(GATEWAY.mac) + f.IP6.to_bytes(2, "big")


def test_without_the_filter_they_would_all_arrive(place):
    """So the tests above look where such frames go. These few the kernel throws away, or keeps to the port itself."""
    place.filter.remove()
    try:
        unheard = {name for name, frame in SPOOFS.items() if place.say(frame) == ([], [], [])}
    finally:
        place.filter.apply(place.plans)
    assert unheard <= UNCOUNTED | BROKEN
