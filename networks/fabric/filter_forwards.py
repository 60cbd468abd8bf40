"""Address translation in the inet table: forwards to bridged guests, and the host's own address for those who leave. Pure.

The kernel asks these chains once for each connection, about its first packet: so here stands, too, how many a guest may have open.
"""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address

from networks.fabric.base import Endpoint, Mode, NetworkPlan
from networks.fabric.guard import ANY_ADDRESS
from networks.fabric.nft_text import base_chain, chain, named_map, named_set

CONNECTIONS = 4096  # that one NIC asked for and that conntrack follows at a time: the table is the whole host's

_EXACT = "dnat ip to ip daddr . meta l4proto . th dport map"
_ANY = "fib daddr type local dnat ip to meta l4proto . th dport map"


def nat(networks: Sequence[NetworkPlan]) -> Iterator[str]:
    """Sets, maps and chains."""
    leaving = [plan for plan in networks if plan.mode == Mode.NAT]
    yield named_set("nat4", "type ipv4_addr", (plan.cidr4 for plan in leaving), flags="interval")
    yield named_set("nat6", "type ipv6_addr", (plan.cidr6 for plan in leaving if plan.cidr6 and plan.is_nat6), flags="interval")
    yield from _forwards(networks)
    yield base_chain("nat_postrouting", "nat", "postrouting", "srcnat", [
        "ip saddr @nat4 oifname != @inner masquerade",
        "ip6 saddr @nat6 oifname != @inner masquerade",
        "ct status dnat oifname @bridges ip saddr 127.0.0.0/8 masquerade",
        # To a guest of its own network the answer would go straight, past the host, from an address that nobody asked.
        "ct status dnat oifname . ip saddr @guests4 masquerade",
        "ct status dnat oifname @uplinks oifname . ip daddr @guests4 masquerade",  # these answer to their router, not to us
    ])  # fmt: skip


def _forwards(networks: Sequence[NetworkPlan]) -> Iterator[str]:
    targets = {
        forward.public: f"{nic.address4} . {forward.guest_port}" for plan in networks for nic in plan.nics for forward in nic.forwards
    }
    exact = {public: target for public, target in sorted(targets.items()) if public.address != ANY_ADDRESS}
    everywhere = {public: target for public, target in sorted(targets.items()) if public.address == ANY_ADDRESS}
    loopback = {public: target for public, target in exact.items() if IPv4Address(public.address).is_loopback}
    published = {public: target for public, target in exact.items() if public not in loopback}
    kind = "type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service"
    yield named_map("on_loopback", kind, _elements(loopback))
    yield named_map("published", kind, _elements(published))
    yield named_map("everywhere", "type inet_proto . inet_service : ipv4_addr . inet_service", {
        f"{public.protocol} . {public.port}": target for public, target in everywhere.items()
    })  # fmt: skip
    # From outside nothing for 127/8 is led anywhere: translated, it would pass for a packet that may come in.
    yield named_set("tracked", "type ether_addr", (), flags="dynamic")
    yield chain("crowd", [f"add @tracked {{ ether saddr ct count over {CONNECTIONS} }} drop"])
    room = ["iifname . ip saddr @guests4 jump crowd", "iifname . ip6 saddr @guests6 jump crowd"]
    outside = [*room, "ip daddr 127.0.0.0/8 return", f"{_EXACT} @published", f"{_ANY} @everywhere"]
    yield base_chain("nat_prerouting", "nat", "prerouting", "dstnat", outside)
    inside = [f"{_EXACT} @on_loopback", f"{_EXACT} @published", f"{_ANY} @everywhere"]
    yield base_chain("nat_output", "nat", "output", "-100", inside)


def _elements(targets: Mapping[Endpoint, str]) -> dict[str, str]:
    return {f"{public.address} . {public.protocol} . {public.port}": target for public, target in targets.items()}
