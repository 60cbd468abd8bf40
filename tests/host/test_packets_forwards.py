"""T4 of forwards: where a port of the host leads, from wherever one knocks, and where it does not."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from networks.fabric import nft
from networks.fabric.base import Guard
from networks.fabric.linux import LinuxFabric
from tests.host import frames as f
from tests.host.meeting import (
    ALL,
    BLUE,
    CELL,
    FORWARDED,
    HOST,
    LAN,
    LAN_HOST,
    OUTSIDE,
    R1,
    RED,
    TAG,
    UP,
    Place,
    both,
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
def test_forwards_from_outside(place, protocol):
    assert place.knock("outside", "r1", protocol, HOST, 18081) == OUTSIDE
    assert place.knock("outside", "r1", protocol, HOST, 18082) == OUTSIDE
    assert place.knock("outside", "r1", protocol, HOST, 18080) in UNHEARD
    assert place.knock("outside", "c1", protocol, HOST, 18091) in UNHEARD  # isolated is isolated
    assert place.knock("outside", "u1", protocol, HOST, 18071) == LAN_HOST


@BOTH
def test_forwards_from_the_host_itself(place, protocol):
    assert place.knock("host", "r1", protocol, "127.0.0.1", 18080) == RED.gateway4
    assert place.knock("host", "r1", protocol, HOST, 18081) == HOST
    assert place.knock("host", "r1", protocol, "127.0.0.1", 18082) == RED.gateway4
    assert place.knock("host", "r1", protocol, HOST, 18082) == HOST
    assert place.knock("host", "c1", protocol, "127.0.0.1", 18090) == CELL.gateway4
    assert place.knock("host", "u1", protocol, "127.0.0.1", 18070) == LAN_HOST


@BOTH
def test_forwards_from_the_same_network(place, protocol):
    """Hairpin: by a neighbour and by the guest itself."""
    for who in ("r1", "r2"):
        assert place.knock(who, "r1", protocol, HOST, 18081) == RED.gateway4
        assert place.knock(who, "r1", protocol, RED.gateway4, 18082) == RED.gateway4


@BOTH
def test_forwards_do_not_join_networks(place, protocol):
    """INV-09: a published port is published to the outside."""
    for who, address, port in (("b1", HOST, 18081), ("b1", BLUE.gateway4, 18082), ("c1", HOST, 18081), ("u1", LAN_HOST, 18082)):
        assert place.knock(who, "r1", protocol, address, port) in UNHEARD


@BOTH
def test_user_mode_guests_use_their_own_teams_forwards(place, protocol, tmp_path):
    """INV-09: they come to a bridged guest by its forward, not straight, and no other team's VM does."""
    own, stranger = 910_001, 910_002
    fabric = LinuxFabric(TAG, tmp_path)
    guard = Guard(910_001, 910_099, allowed={}, bridged={own: both(R1.address4, 80)})
    fabric.apply_guard(guard)
    try:
        for address, port, seen in (("127.0.0.1", 18080, RED.gateway4), (HOST, 18081, HOST), (HOST, 18082, HOST)):
            assert place.knock("host", "r1", protocol, address, port, uid=own) == seen
            assert place.knock("host", "r1", protocol, address, port, uid=stranger) in UNHEARD
        assert place.knock("host", "r1", protocol, R1.address4, uid=own) in UNHEARD
        assert place.knock("host", "c1", protocol, "127.0.0.1", 18090, uid=own) in UNHEARD
        assert place.knock("host", "lan", protocol, LAN, uid=own) in UNHEARD
        fabric.apply_guard(replace(guard, uplinks=(ALL[4].bridge,)))
        assert place.knock("host", "lan", protocol, LAN, uid=own) == LAN_HOST
        assert place.knock("host", "r1", protocol, R1.address4, uid=own) in UNHEARD
    finally:
        fabric.apply_guard(replace(guard, bridged={}))
        nft.apply(f"delete table inet ow{TAG}_guard\n")


def test_a_loopback_forward_is_not_led_to_from_outside(place):
    """A packet for 127.0.0.1 from a wire is no packet of the host's own, translated or not."""
    for port in (18080, 18082):
        packet = f.ip4(OUTSIDE, "127.0.0.1", f.UDP, f.udp(5000, port))
        inject(place, "outside", f.ethernet("02:00:00:00:02:02", UP, f.IP4, packet))
        assert hears(place.doors["r1", "udp", 4]) == "silence"
