"""What the networks' own servers may say: a dnsmasq that somebody broke into is on the host, and reaches only what it needs. Pure.

Each runs as a user of its own, by which its packets are known (nft(8): meta skuid). What the kernel says of itself has no user.
"""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from networks.fabric.base import Mode, NetworkPlan
from networks.fabric.dnsmasq_text import is_needed
from networks.fabric.nft_text import chain, named_set


def sets(networks: Sequence[NetworkPlan]) -> Iterator[str]:
    """Who they are, which bridge each serves, whom it asks."""
    served = [plan for plan in networks if plan.uid and is_needed(plan)]
    asking = [plan for plan in served if plan.mode == Mode.NAT]  # an isolated network asks nobody, an uplink has no DNS of ours
    yield named_set("servers", "type uid", (str(plan.uid) for plan in served))
    yield named_set("serving", "type uid . ifname", (f'{plan.uid} . "{plan.bridge}"' for plan in served))
    named = [(plan.uid, resolver) for plan in asking for resolver in plan.resolvers]
    for version, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
        own = (f"{uid} . {resolver}" for uid, resolver in named if ip_address(resolver).version == version)
        yield named_set(f"asked{version}", f"type uid . {kind}", own)
    yield named_set("asking_any", "type uid", (str(plan.uid) for plan in asking if not plan.resolvers))


def chains() -> Iterator[str]:
    """`served` judges a packet of a server; what it does not need is refused."""
    # Without resolvers of its own a network asks the host's, which change while it runs, and may be the host itself.
    yield chain("question", [
        "meta skuid . ip daddr @asked4 accept",
        "meta skuid . ip6 daddr @asked6 accept",
        "meta skuid @asking_any accept",
    ])  # fmt: skip
    yield chain("answer", [
        "udp sport 67 udp dport { 67, 68 } accept",
        "udp sport 547 udp dport { 546, 547 } accept",
        "icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept",  # it asks for a client's MAC before it answers DHCPv6
    ])  # fmt: skip
    yield chain("served", [
        "meta l4proto { tcp, udp } th sport 53 ct direction reply accept",  # also to the host, which may ask it
        "meta l4proto { tcp, udp } th dport 53 jump question",
        "meta skuid . oifname @serving jump answer",
        "goto refused",
    ])  # fmt: skip
