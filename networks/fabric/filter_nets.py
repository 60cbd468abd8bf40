"""The inet table: which networks meet whom, what guests may ask of the host, and the rules people wrote. Pure.

It sees packets that are routed, and by nf_call_iptables of our bridges those that are only bridged: they come in and leave by the
same bridge. Packets are judged one by one in the direction of the connection's first, so a new rule ends what was open before.
"""

from collections.abc import Iterable, Iterator, Sequence

from networks.fabric import filter_servers as servers
from networks.fabric.base import Counts, Mode, NetworkPlan, NicPlan
from networks.fabric.filter_forwards import nat
from networks.fabric.filter_rules import RuleBook, inbound, outbound
from networks.fabric.filter_values import link_local
from networks.fabric.guard import METADATA_V4, METADATA_V6
from networks.fabric.nft_text import REJECTS, base_chain, braces, chain, named_map, named_set

_LINK_LOCAL6 = "fe80::/10"  # guests of one network speak by it; a metadata service there is on no wire of theirs
# What keeps a network going is nobody's to forbid: neighbours, routers, listeners; DHCP's answers, which no tap can give.
_NEIGHBOURS = "{ 130, 131, 132, 133, 134, 135, 136, 143 }"
_CONTROL = (f"icmpv6 type {_NEIGHBOURS} accept", "udp sport 67 udp dport 68 accept")


def table(name: str, networks: Sequence[NetworkPlan], counts: Counts, wildcard: str) -> str:
    """The table's text. `wildcard` fits the names of all links of the installation."""
    nics = [nic for plan in networks for nic in plan.nics]
    book = RuleBook(nics, {"out": outbound, "in": inbound})
    parts = [
        *_sets(networks),
        *servers.sets(networks),
        book.text(counts.rules),
        *_rule_maps(nics, book),
        *_chains(wildcard),
        *nat(networks),
    ]
    return f"table inet {name} {{\n" + "\n".join(parts) + "}\n"


def _sets(networks: Sequence[NetworkPlan]) -> Iterator[str]:
    inner = [plan for plan in networks if plan.mode != Mode.UPLINK]
    yield named_set("bridges", "type ifname", _bridges(networks))
    yield named_set("inner", "type ifname", _bridges(inner))
    yield named_set("isolated", "type ifname", _bridges(p for p in inner if p.mode == Mode.ISOLATED))
    yield named_set("uplinks", "type ifname", _bridges(p for p in networks if p.mode == Mode.UPLINK))
    yield named_map("within", "type ifname . ifname : verdict", _within(networks))
    guests4 = (f'"{plan.bridge}" . {nic.address4}' for plan in networks for nic in plan.nics)
    yield named_set("guests4", "type ifname . ipv4_addr", guests4)
    guests6 = (f'"{plan.bridge}" . {address}' for plan in networks for nic in plan.nics for address in _addresses6(nic))
    yield named_set("guests6", "type ifname . ipv6_addr", guests6)
    yield named_set("gateways4", "type ifname . ipv4_addr", (f'"{plan.bridge}" . {plan.gateway4}' for plan in inner))
    yield named_set("gateways6", "type ifname . ipv6_addr", (f'"{p.bridge}" . {p.gateway6}' for p in inner if p.gateway6))
    routed = (plan.cidr6 for plan in inner if plan.mode == Mode.NAT and plan.cidr6 and not plan.is_nat6)
    yield named_set("routed6", "type ipv6_addr", routed, flags="interval")


def _bridges(networks: Iterable[NetworkPlan]) -> Iterator[str]:
    return (f'"{plan.bridge}"' for plan in networks)


def _within(networks: Sequence[NetworkPlan]) -> dict[str, str]:
    """Pairs of bridges that exchange packets: each with itself, and with those that it or they are linked to; and who judges what passes.

    What nobody has a rule about needs no judge. An uplink's guests may not ask metadata services, whatever the rules are.
    """
    pairs = {(plan.bridge, other) for plan in networks for other in (plan.bridge, *plan.linked)}
    ruled = {plan.bridge for plan in networks if any(nic.rules or nic.firm for nic in plan.nics)}
    uplinks = {plan.bridge for plan in networks if plan.mode == Mode.UPLINK}

    def verdict(one: str, other: str) -> str:
        if one in uplinks:
            return "goto uplinked"
        return "goto exchanged" if {one, other} & ruled else "accept"

    return {f'"{one}" . "{other}"': verdict(one, other) for one, other in sorted(pairs | {(other, one) for one, other in pairs})}


def _addresses6(nic: NicPlan) -> tuple[str, ...]:
    return (nic.address6, link_local(nic.mac)) if nic.address6 else ()


def _rule_maps(nics: Sequence[NicPlan], book: RuleBook) -> Iterator[str]:
    for way in ("out", "in"):
        judged = [(nic, f"jump {name}") for nic in nics if (name := book.chain(way, nic))]
        yield named_map(f"{way}4", "type ipv4_addr : verdict", {nic.address4: jump for nic, jump in judged})
        yield named_map(f"{way}6", "type ipv6_addr : verdict", {a: jump for nic, jump in judged for a in _addresses6(nic)})


def _chains(wildcard: str) -> Iterator[str]:
    metadata = [f"ip daddr {braces(METADATA_V4)} drop", f"ip6 daddr {braces(a for a in METADATA_V6 if a != _LINK_LOCAL6)} drop"]
    # 127/8 is let onto our bridges for forwards (route_localnet): a guest must neither come from there nor reach it.
    yield base_chain("raw", "filter", "prerouting", "raw", [
        "ip saddr != 127.0.0.0/8 ip daddr != 127.0.0.0/8 accept",
        f'meta nfproto ipv4 iifname "{wildcard}" drop',
    ])  # fmt: skip
    yield from _verdicts(metadata)
    yield chain("forwarded", [
        "iifname @isolated drop",
        "oifname @isolated drop",
        "iifname @inner oifname @inner drop",
        # A guest of an uplink and one of another network: two networks as well.
        "iifname . ip saddr @guests4 oifname . ip daddr @guests4 drop",
        "iifname . ip6 saddr @guests6 oifname . ip6 daddr @guests6 drop",
        "ct direction reply accept",
        "ct state related accept",
        "iifname @inner goto outbound",
        "iifname . ip saddr @guests4 drop",  # an uplink's guest that takes the host for its router
        "iifname . ip6 saddr @guests6 drop",
        "oifname @inner goto inbound",
        "goto judge",
    ])  # fmt: skip
    yield base_chain("forward", "filter", "forward", "filter", [
        "iifname . oifname vmap @within",
        "iifname @bridges goto forwarded",
        "oifname @bridges goto forwarded",
        f'iifname "{wildcard}" drop',  # a bridge that no plan knows
        f'oifname "{wildcard}" drop',
    ])  # fmt: skip
    yield from _host(wildcard)


def _verdicts(metadata: list[str]) -> Iterator[str]:
    yield chain("judge", [
        *_CONTROL,
        "ip saddr vmap @out4",
        "ip6 saddr vmap @out6",
        "ip daddr vmap @in4",
        "ip6 daddr vmap @in6",
        "accept",
    ])  # fmt: skip
    answers = ("ct direction reply accept", "ct state related accept")
    yield chain("exchanged", [*answers, "goto judge"])
    yield chain("uplinked", [*answers, "goto outbound"])
    yield chain("outbound", [*metadata, "goto judge"])
    yield chain("inbound", ["ct status dnat goto judge", "ip6 daddr @routed6 goto judge", "drop"])


def _host(wildcard: str) -> Iterator[str]:
    """What guests may ask of the host, and what forwards carry from the host itself."""
    yield chain("refused", REJECTS)
    yield chain("service", [
        "meta l4proto { tcp, udp } th dport 53 accept",
        "udp dport { 67, 547 } accept",
        "icmp type echo-request accept",
        "icmpv6 type echo-request accept",
    ])  # fmt: skip
    yield chain("guest", [
        "ct state related accept",
        "ct direction reply accept",
        f"icmpv6 type {_NEIGHBOURS} accept",
        "udp sport 68 udp dport 67 ip daddr 255.255.255.255 accept",
        "iifname @uplinks udp sport 68 udp dport 67 accept",
        "udp sport 546 udp dport 547 ip6 daddr ff02::1:2 accept",
        "ip saddr vmap @out4",
        "ip6 saddr vmap @out6",
        "iifname . ip daddr @gateways4 jump service",
        "iifname . ip6 daddr @gateways6 jump service",
        f"iifname @inner ip6 daddr {_LINK_LOCAL6} jump service",
        "goto refused",
    ])  # fmt: skip
    yield base_chain("input", "filter", "input", "filter", [
        "iifname @inner goto guest",
        "iifname . ip saddr @guests4 goto guest",
        "iifname . ip6 saddr @guests6 goto guest",
        f'iifname "{wildcard}" iifname != @bridges goto refused',
    ])  # fmt: skip
    # The host's own words to a guest are not judged; what a forward leads there is, whoever knocked. For an uplink's guest the host
    # is one of its LAN.
    yield chain("led", [*_CONTROL, "ip daddr vmap @in4", "ip6 daddr vmap @in6"])
    yield from servers.chains()
    yield base_chain("output", "filter", "output", "filter", [
        "meta skuid @servers goto served",
        "ct direction reply accept",
        "ct status dnat goto led",
        "oifname @uplinks goto led",
    ])  # fmt: skip
