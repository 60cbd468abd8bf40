"""A real Linux as the guest of a network without IPv6: what it says of itself over the new link is no alarm."""

import select
import socket
from collections.abc import Iterator
from uuid import UUID

import pytest

from networks.fabric.base import Mode, NetworkPlan, NicPlan
from networks.fabric.packet_filter import PacketFilter
from tests.host import frames as f
from tests.host.spaces import Space, ip, sysctl
from tests.host.spoofs import GATEWAY, ME
from tests.host.taps import Ears, bridged, port
from tests.namespaces import in_own_namespace

pytestmark = pytest.mark.host

TAG = "d00d"
BRIDGE, TAP = f"ow{TAG}00000001b", f"ow{TAG}0000000at"
PLAN = NetworkPlan(
    UUID(int=1), "br0", BRIDGE, Mode.NAT, "192.168.33.0/24", GATEWAY.v4, nics=(NicPlan(TAP, ME.mac, "guest", ME.v4, ""),)
)  # fmt: skip
SAID = {133: "router solicitation", 135: "is my address free", 143: "groups"}
_WAIT = 10.0  # seconds: for what must come


@pytest.fixture
def filtered(tmp_path) -> Iterator[PacketFilter]:
    in_own_namespace()
    packet_filter = PacketFilter(TAG, tmp_path)
    packet_filter.apply((PLAN,))
    try:
        yield packet_filter
    finally:
        packet_filter.remove()


def test_a_linux_that_finds_its_link_drops_nothing(filtered):
    """And none of it comes up to the host."""
    with bridged(BRIDGE, GATEWAY.mac, addresses=(f"{GATEWAY.v4}/24",)), Space() as guest:
        ip(f"link add {TAP} type veth peer name eth0 netns {guest.name} address {ME.mac}")
        sysctl(f"ipv6.conf.{TAP}.disable_ipv6", 1)
        ears = Ears(BRIDGE)
        with guest.inside():
            heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # of all its links
        port(TAP, BRIDGE, ME.mac)
        guest.ip("link set eth0 up")
        with heard:
            _wait_for(heard, set(SAID))
        at_host = ears.heard()
        ears.close()
        assert [frame for frame in at_host if frame[6:12] == f.mac(ME.mac)] == []
        assert filtered.counts().nics[TAP].dropped == (0, 0)


def _wait_for(heard: socket.socket, kinds: set[int]) -> None:
    """Until the guest's link has carried each of these kinds of ICMPv6."""
    while kinds:
        assert select.select([heard], [], [], _WAIT)[0], f"The guest never said: {[SAID[kind] for kind in kinds]}"
        frame = heard.recv(2048)
        head = 54 + 8 * (frame[20] == 0)  # behind a router alert
        if frame[12:14] == f.IP6.to_bytes(2, "big") and len(frame) > head:
            kinds.discard(frame[head])
