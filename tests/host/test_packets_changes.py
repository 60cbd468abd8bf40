"""T4 of changes: a rule holds for what is open already, nothing slips through while rules are replaced, and all is counted (SEC-F3)."""

import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from networks.fabric.base import FabricError
from tests.host import spaces
from tests.host.meeting import ALL, B1, BLUE, OUTSIDE, R1, R2, RED, Place, meeting, rule, with_nic, with_rules
from tests.namespaces import in_own_namespace

pytestmark = pytest.mark.host

_SO_RCVBUFFORCE = 33  # asm-generic/socket.h


@pytest.fixture(scope="module", params=[0, 1], ids=["called-0", "called-1"])
def place(request, tmp_path_factory) -> Iterator[Place]:
    in_own_namespace()
    with meeting(tmp_path_factory.mktemp("run"), request.param) as made:
        yield made


@pytest.fixture(autouse=True)
def afresh(place) -> None:
    """Each test starts without rules and without connections that conntrack remembers."""
    place.filter.remove()
    place.filter.apply(ALL)


@contextmanager
def talking(place: Place, who: str, at: str, address: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """An open TCP connection, both ends."""
    with ExitStack() as stack:
        with place.spaces[who].inside():
            near = stack.enter_context(socket.create_connection((address, 80), timeout=2))
        far, _ = place.doors[at, "tcp", 6 if ":" in address else 4].accept()
        stack.enter_context(far)
        far.settimeout(spaces.SILENCE)
        yield near, far


@pytest.mark.parametrize("address", [R2.address4, R2.address6])
@pytest.mark.parametrize("inbound", [True, False])
def test_a_new_deny_ends_an_open_connection_at_once(place, address, inbound):
    """SEC-F3: what was open before is judged like what comes after; a rule against others ends nothing."""
    with talking(place, "r1", "r2", address) as (near, far):
        near.send(b"one")
        assert far.recv(10) == b"one"
        nic = R2 if inbound else R1
        place.filter.apply(with_rules(rule(False, inbound, "tcp", (22, 22)), nic=nic))
        near.send(b"two")
        assert far.recv(10) == b"two"
        place.filter.apply(with_rules(rule(False, inbound, "tcp", (80, 80)), nic=nic))
        near.send(b"three")
        with pytest.raises(TimeoutError):
            far.recv(10)


def test_a_new_deny_ends_what_goes_outside(place):
    with talking(place, "r1", "outside", OUTSIDE) as (near, far):
        near.send(b"one")
        assert far.recv(10) == b"one"
        place.filter.apply(with_rules(rule(False, False), nic=R1))
        near.send(b"two")
        with pytest.raises(TimeoutError):
            far.recv(10)


def test_a_link_taken_back_ends_what_is_open(place):
    """In both directions: not even an answer crosses."""
    linked = (replace(RED, linked=(BLUE.bridge,)), *ALL[1:])
    place.filter.apply(linked)
    with talking(place, "r1", "b1", B1.address4) as (near, far):
        near.send(b"one")
        assert far.recv(10) == b"one"
        place.filter.apply(ALL)
        far.send(b"two")
        near.settimeout(spaces.SILENCE)
        with pytest.raises(TimeoutError):
            near.recv(10)


def test_a_connection_outlives_a_replacement(place):
    """INV-01: rules that do not speak of it are replaced beneath it."""
    with talking(place, "r1", "r2", R2.address4) as (near, far):
        for number in range(5):
            place.filter.apply(with_rules(rule(False, True, "tcp", (1000 + number, 1000 + number))))
            near.send(b"%d" % number)
            assert far.recv(10) == b"%d" % number


def test_no_packet_slips_through_a_replacement(place):
    """SEC-F3: the old rules hold until the new ones do, with nothing between them."""
    denied = rule(False, True, "udp", (80, 80))
    place.filter.apply(with_rules(denied))
    door, done = place.doors["r2", "udp", 4], threading.Event()
    with place.spaces["r1"].inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as guest:
        guest.connect((R2.address4, 80))

        def chatter() -> None:
            while not done.is_set():
                guest.send(b"!")

        talker = threading.Thread(target=chatter)
        talker.start()
        try:
            for number in range(10):
                place.filter.apply(with_rules(denied, rule(False, True, "tcp", (number + 1, 99))))
        finally:
            done.set()
            talker.join(10)
    door.settimeout(spaces.SILENCE)
    with pytest.raises(TimeoutError):
        door.recv(10)


@pytest.mark.parametrize(
    "bad",
    [
        rule(True, True, "gre"),
        rule(True, True, "tcp", (90, 80)),
        rule(True, True, peers=("10.0.0.0/99",)),
        rule(True, True, peers=("bob",)),
    ],
    ids=["protocol", "ports", "prefix", "peer"],
)
def test_an_invalid_rule_is_refused_and_the_old_ones_stay(place, bad):
    """SEC-F3 (CVE-2015-5240): never "no rules"."""
    old = with_rules(rule(False, True))
    place.filter.apply(old)
    with pytest.raises(FabricError) as caught:
        place.filter.apply(with_rules(bad, rule(False, True)))
    assert caught.value.code == "bad_network"
    assert place.filter.holds(old)
    assert not place.met("r1", "r2", "tcp", R2.address4)


def test_a_rule_counts_what_it_decided(place):
    """Of a deny each packet that it stopped; over a change of rules the counts go on."""
    deny, other = rule(False, True, "udp", (80, 80)), rule(True, True, "tcp")
    place.filter.apply(with_rules(deny, other))
    assert not place.met("r1", "r2", "udp", R2.address4)
    assert place.filter.counts().rules == {deny.id: (1, 29), other.id: (0, 0)}
    assert place.met("r1", "r2", "tcp", R2.address4)
    packets, octets = place.filter.counts().rules[other.id]
    assert packets >= 3
    assert octets > 120
    place.filter.apply(with_rules(deny))
    assert place.filter.counts().rules == {deny.id: (1, 29)}


def test_a_rate_is_kept_in_both_directions(place):
    """1 Mbit/s for a moment: what is over the burst is dropped, and counted as dropped."""
    burst = [b"r" * 1000] * 1000
    for limited, sender, receiver, address in ((R1, "r1", "r2", R2.address4), (R2, "r1", "r2", R2.address4)):
        place.filter.remove()
        place.filter.apply((with_nic(RED, limited, rate_kbit=1000), *ALL[1:]))
        door = place.doors[receiver, "udp", 4]
        door.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
        with place.spaces[sender].inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as guest:
            guest.connect((address, 80))
            for one in burst:
                guest.send(one)
        arrived = _count(door)
        assert 100 <= arrived <= 400
        assert place.filter.counts().nics[limited.tap].dropped[0] == 1000 - arrived


def _count(door: socket.socket) -> int:
    door.settimeout(spaces.SILENCE)
    for number in itertools.count():
        try:
            door.recv(2048)
        except TimeoutError:
            return number
    raise AssertionError
