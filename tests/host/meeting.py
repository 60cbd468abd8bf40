"""A host with five networks, their guests, a LAN and a world outside: for tests that look who reaches whom.

A guest is a namespace behind a veth whose end on the host has a tap's derived name: the rules look at names alone.
"""

import itertools
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

from networks.fabric.base import Endpoint, ForwardPlan, Mode, NetworkPlan, NicPlan, RulePlan
from networks.fabric.packet_filter import PacketFilter
from tests.host import spaces
from tests.host.spaces import Here, Space, ip, sysctl
from tests.host.taps import bridged, port
from tests.namespaces import fresh_network

TAG = "d00d"
HOST, HOST6, OUTSIDE, OUTSIDE6 = "198.51.100.1", "2001:db8::1", "198.51.100.2", "2001:db8::2"
LAN_HOST, LAN = "203.0.113.1", "203.0.113.254"
UP = "02:00:00:00:02:01"  # the MAC of the host's end of the wire
METADATA = "169.254.169.254"
_NUMBERS = itertools.count(1)
HERE = Here()
DOORS = [(protocol, address) for protocol in ("tcp", "udp") for address in ("0.0.0.0", "::")]


def _network(number: int, name: str, mode: Mode, prefix6: str, **columns) -> NetworkPlan:
    cidr4, gateway4 = f"192.168.{32 + number}.0/24", f"192.168.{32 + number}.1"
    cidr6, gateway6 = f"{prefix6}::/64", f"{prefix6}::1"
    bridge = f"ow{TAG}{number:08x}b"
    return NetworkPlan(UUID(int=number), name, bridge, mode, cidr4, gateway4, cidr6=cidr6, gateway6=gateway6, **columns)


def _nic(number: int, name: str, network: NetworkPlan, host: int) -> NicPlan:
    at4, at6 = network.gateway4.rpartition(".")[0], network.gateway6.removesuffix("::1")
    address6 = f"{at6}::{host:x}" if at6 else ""
    return NicPlan(f"ow{TAG}{number:08x}t", f"02:00:00:00:00:{number:02x}", name, f"{at4}.{host}", address6)


RED = _network(1, "red", Mode.NAT, "fd12:3456:789a")
BLUE = _network(2, "blue", Mode.NAT, "fd12:3456:789b")
CELL = _network(3, "cell", Mode.ISOLATED, "fd12:3456:789c")
ROUTED = _network(4, "routed", Mode.NAT, "2001:db8:35", is_nat6=False)
UPLINK = NetworkPlan(UUID(int=5), "lan", f"ow{TAG}00000005b", Mode.UPLINK, "203.0.113.0/24", LAN, adapter="lan0", dhcp=False)
RED = replace(RED, nics=(_nic(0x11, "r1", RED, 10), _nic(0x12, "r2", RED, 11)))
BLUE = replace(BLUE, nics=(_nic(0x21, "b1", BLUE, 12),))
CELL = replace(CELL, nics=(_nic(0x31, "c1", CELL, 10), _nic(0x32, "c2", CELL, 11)))
ROUTED = replace(ROUTED, nics=(_nic(0x41, "d1", ROUTED, 10),))
UPLINK = replace(UPLINK, nics=(_nic(0x51, "u1", UPLINK, 20),))
R1, R2, B1, C1, C2, D1, U1 = (nic for plan in (RED, BLUE, CELL, ROUTED, UPLINK) for nic in plan.nics)
ALL = (RED, BLUE, CELL, ROUTED, UPLINK)


def with_nic(plan: NetworkPlan, nic: NicPlan, **columns) -> NetworkPlan:
    """The same network, the NIC changed."""
    return replace(plan, nics=tuple(replace(one, **columns) if one.tap == nic.tap else one for one in plan.nics))


def with_rules(*rules: RulePlan, nic: NicPlan = R2) -> tuple[NetworkPlan, ...]:
    """All networks; the NIC of the first has these rules."""
    return (with_nic(RED, nic, rules=rules), *ALL[1:])


def rule(
    allow: bool, inbound: bool, protocol: str = "any", ports: tuple[int, int] | None = None, peers: tuple[str, ...] | None = None
) -> RulePlan:
    """A new one."""
    return RulePlan(UUID(int=next(_NUMBERS)), allow, inbound, protocol, ports, peers)


def forwards(*publics: Endpoint) -> tuple[ForwardPlan, ...]:
    return tuple(ForwardPlan(public, 80) for public in publics)


def both(address: str, port: int) -> tuple[Endpoint, Endpoint]:
    return Endpoint("tcp", address, port), Endpoint("udp", address, port)


PUBLIC = forwards(*both("127.0.0.1", 18080), *both(HOST, 18081), *both("0.0.0.0", 18082))
FORWARDED = (
    with_nic(RED, R1, forwards=PUBLIC),
    BLUE,
    with_nic(CELL, C1, forwards=forwards(*both("127.0.0.1", 18090), *both(HOST, 18091))),
    ROUTED,
    with_nic(ALL[4], U1, forwards=forwards(*both("127.0.0.1", 18070), *both(HOST, 18071))),
)


@dataclass
class Place:
    """Names → namespaces, each with listeners of every protocol and family on port 80; the host's are on port 6379."""

    filter: PacketFilter
    spaces: dict[str, Space | Here]
    doors: dict[tuple[str, str, int], socket.socket] = field(default_factory=dict)

    def knock(self, who: str, at: str, protocol: str, address: str, port: int = 80, uid: int = 0) -> str:
        """Whether `who` reaches `at` by address:port: the address that `at` saw, "silence", "refused" or "other"."""
        door = self.doors[at, protocol, 6 if ":" in address else 4]
        return spaces.knock(self.spaces[who], door, protocol, address, port, uid)

    def met(self, who: str, at: str, protocol: str, address: str, port: int = 80) -> bool:
        """Whether `at` answers `who`."""
        return self.knock(who, at, protocol, address, port) not in ("silence", "refused", "other")


@contextmanager
def meeting(run_dir: Path, called: int) -> Iterator[Place]:
    """Everything up; the filter not applied. `called`: the host's sysctl for bridged packets."""
    with ExitStack() as stack:
        stack.enter_context(fresh_network())  # a guest lives as long as a socket of it does, and keeps its wire
        place = Place(PacketFilter(TAG, run_dir), {"host": HERE})
        stack.callback(place.filter.remove)
        for name in ("outside", "lan", *(nic.name for plan in ALL for nic in plan.nics)):
            place.spaces[name] = stack.enter_context(Space())
        _outside(stack, place.spaces["outside"])
        for number, plan in enumerate(ALL, 1):
            addresses = (f"{LAN_HOST}/24",) if plan.mode == Mode.UPLINK else (f"{plan.gateway4}/24", f"{plan.gateway6}/64")
            stack.enter_context(bridged(plan.bridge, f"02:00:00:00:01:{number:02x}", addresses=addresses, local="eui64"))
            for nic in plan.nics:
                guest(place.spaces[nic.name], plan, nic)
        _lan(stack, place.spaces["lan"])
        for setting in ("iptables", "ip6tables"):
            sysctl(f"bridge.bridge-nf-call-{setting}", called)
        sysctl("ipv4.icmp_ratelimit", 0)  # a refusal is to be heard each time
        sysctl("ipv6.icmp.ratelimit", 0)
        sysctl("ipv4.ip_forward", 1)
        sysctl("ipv6.conf.all.forwarding", 1)
        for name, space in place.spaces.items():
            for protocol, address in DOORS:
                door = spaces.listener(space, protocol, address, 6379 if name == "host" else 80)
                stack.callback(door.close)
                place.doors[name, protocol, 6 if ":" in address else 4] = door
        yield place


def _outside(stack: ExitStack, outside: Space) -> None:
    """Its end of the wire knows the way to every network: only the filter keeps it out."""
    ip(f"link add up0 address {UP} type veth peer name up1")
    stack.callback(ip, "link del up0")
    ip(f"link set up1 netns {outside.name}")
    near, far = (f"{HOST}/24", f"{HOST6}/64", "169.254.0.1/16"), (f"{OUTSIDE}/24", f"{OUTSIDE6}/64", f"{METADATA}/16")
    for say, link, addresses in ((ip, "up0", near), (outside.ip, "up1", far)):
        say(f"link set {link} up")
        for address in addresses:
            say(f"addr add {address} dev {link}" + (" nodad" if ":" in address else ""))
    ip(f"route add default via {OUTSIDE}")
    ip(f"route add default via {OUTSIDE6}")
    outside.ip(f"route add default via {HOST}")
    outside.ip(f"route add default via {HOST6}")


def guest(space: Space, plan: NetworkPlan, nic: NicPlan) -> None:
    """A namespace as a guest on the NIC, its port on the network's bridge."""
    ip(f"link add {nic.tap} type veth peer name eth0 address {nic.mac} netns {space.name}")
    sysctl(f"ipv6.conf.{nic.tap}.disable_ipv6", 1)
    port(nic.tap, plan.bridge, nic.mac)
    space.sysctl("ipv6.conf.all.accept_dad", 0)
    space.sysctl("ipv6.conf.eth0.accept_dad", 0)
    space.ip("link set eth0 up")
    space.ip(f"addr add {nic.address4}/24 dev eth0")
    space.ip(f"route add default via {plan.gateway4}")
    if nic.address6:
        space.ip(f"addr add {nic.address6}/64 dev eth0 nodad")
        space.ip(f"route add default via {plan.gateway6}")


def _lan(stack: ExitStack, lan: Space) -> None:
    ip("link add lan0 type veth peer name lan1")
    ip(f"link set lan1 netns {lan.name}")
    ip(f"link set lan0 master {UPLINK.bridge} up")
    lan.ip("link set lan1 up")
    lan.ip(f"addr add {LAN}/24 dev lan1")
    lan.ip(f"route add default via {LAN_HOST}")


def inject(place: Place, who: str, frame: bytes) -> None:
    with place.spaces[who].inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("up1" if who == "outside" else "eth0", 0))
        raw.send(frame)


def hears(door: socket.socket) -> str:
    door.settimeout(spaces.SILENCE)
    try:
        return door.recvfrom(2048)[1][0]
    except TimeoutError:
        return "silence"
