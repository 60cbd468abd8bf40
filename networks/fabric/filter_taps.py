"""The bridge table: what a tap may say at all. Stateless, each frame by itself, before anything else sees it. Pure.

Whatever is not written here as allowed is dropped, a frame that cannot be read included: nft skips a rule whose field is missing,
so what stands behind a rule that drops must read that field again before it accepts. What is dropped is counted, but for `chatter6`.
"""

from collections.abc import Iterator, Sequence
from ipaddress import IPv6Address
from itertools import chain as joined

from networks.fabric.base import Count, Counts, NetworkPlan, NicCounts, NicPlan
from networks.fabric.filter_rules import RuleBook, for_many
from networks.fabric.filter_values import link_local
from networks.fabric.nft_text import base_chain, chain, counter, named_map, named_set

_LEAST_BURST = 128 * 1024  # bytes: a frame of a tap with offloads has up to 64 KiB, and one bigger than the burst never passes

# IPv6 headers that may stand between IPv6 and what is meant (RFC 7045): they hide what follows from filters, and no guest needs them.
_EXTENSIONS = "{ 0, 43, 44, 51, 60, 135, 139, 140, 253, 254 }"
_MLD = "{ 131, 132, 143 }"  # reports and done; a query is a router's
_CHATTER = "{ 131, 132, 133, 143 }"  # the same, and whether there is a router
# Errors, echo, MLD, router and neighbour solicitation: not a router's 130, 134 and 137, nor what nobody uses.
_ICMP6 = "{ 1, 2, 3, 4, 128, 129, 131, 132, 133, 135, 143 }"


def table(name: str, networks: Sequence[NetworkPlan], counts: Counts, wildcard: str) -> str:
    """The table's text. `wildcard` fits the names of all links of the installation."""
    nics = sorted((nic for plan in networks for nic in plan.nics), key=lambda nic: nic.tap)
    book = RuleBook(nics, {"in": for_many})
    parts = [*_counters(nics, counts), *_limits(nics), *_sets(nics), *_maps(nics), book.text({})]
    deaf = {f'"{nic.tap}"': f"jump {chain_in}" for nic in nics if (chain_in := book.chain("in", nic))}
    parts += [named_map("in_rules", "type ifname : verdict", deaf), *_chains(wildcard, has_rates=any(nic.rate_kbit for nic in nics))]
    return f"table bridge {name} {{\n" + "\n".join(parts) + "}\n"


def counter_names(tap: str) -> tuple[str, str, str]:
    """The counters of a tap: passed to the guest, passed from it, dropped."""
    return f"{tap}_in", f"{tap}_out", f"{tap}_dropped"


def tap_of(name: str) -> tuple[str, str] | None:
    """The tap and which of its counters ("in", "out" or "dropped") this name is of, or None."""
    tap, _, what = name.rpartition("_")
    return (tap, what) if what in ("in", "out", "dropped") else None


def _counters(nics: Sequence[NicPlan], counts: Counts) -> Iterator[str]:
    for nic in nics:
        seen = counts.nics.get(nic.tap, NicCounts())
        values: tuple[Count, ...] = (seen.passed_in, seen.passed_out, seen.dropped)
        yield "".join(counter(name, count) for name, count in zip(counter_names(nic.tap), values, strict=True))


def _limits(nics: Sequence[NicPlan]) -> Iterator[str]:
    for nic in nics:
        if nic.rate_kbit:
            second = nic.rate_kbit * 125
            rate = f"\t\trate over {second} bytes/second burst {max(_LEAST_BURST, second // 10)} bytes\n"
            yield "".join(f"\tlimit {nic.tap}_{way} {{\n{rate}\t}}\n" for way in ("in", "out"))


def _sets(nics: Sequence[NicPlan]) -> Iterator[str]:
    of6 = [nic for nic in nics if nic.address6]
    own6 = [(nic.tap, address) for nic in of6 for address in (nic.address6, link_local(nic.mac))]
    yield named_set("macs", "type ifname . ether_addr", (f'"{n.tap}" . {n.mac}' for n in nics))
    yield named_set("senders4", "type ifname . ether_addr . ipv4_addr", (f'"{n.tap}" . {n.mac} . {n.address4}' for n in nics))
    yield named_set("addresses4", "type ifname . ipv4_addr", (f'"{n.tap}" . {n.address4}' for n in nics))
    # Of a DHCP request: the relay's address, which must be none, and the client's MAC (RFC 2131: giaddr, chaddr).
    requests = (f'"{n.tap}" . 0x{n.mac.replace(":", "")}' for n in nics)
    yield named_set("dhcp_clients", "typeof iifname . @th,256,80", requests)
    yield named_set("taps6", "type ifname", (f'"{n.tap}"' for n in of6))
    yield named_set("same", "type ifname . ifname", (f'"{n.tap}" . "{n.tap}"' for n in nics))
    yield named_set("addresses6", "type ifname . ipv6_addr", (f'"{tap}" . {address}' for tap, address in own6))
    targets = (f'"{tap}" . {int(IPv6Address(address)):#034x}' for tap, address in own6)
    yield named_set("targets6", "typeof iifname . @th,64,128", targets)


def _maps(nics: Sequence[NicPlan]) -> Iterator[str]:
    for number, way in enumerate(("in", "out", "dropped")):
        yield named_map(f"count_{way}", "type ifname : counter", {f'"{n.tap}"': f'"{counter_names(n.tap)[number]}"' for n in nics})
    unlimited = {f'"{n.tap}" . {n.mac} . {n.address4}': f'"{n.tap}_out"' for n in nics if not n.rate_kbit}
    yield named_map("count_tcp4", "type ifname . ether_addr . ipv4_addr : counter", unlimited)
    for way in ("in", "out"):
        yield named_map(f"limit_{way}", "type ifname : limit", {f'"{n.tap}"': f'"{n.tap}_{way}"' for n in nics if n.rate_kbit})


def _chains(wildcard: str, *, has_rates: bool) -> Iterator[str]:
    yield from joined(_ends(has_rates=has_rates), _arp_and_ip4(), _ip6())
    yield chain("from_tap", [
        "ether type ip goto any_ip4",
        "ether type arp goto any_arp",
        "ether type ip6 iifname @taps6 goto any_ip6",
        "ether type ip6 goto chatter6",
        "goto refused",
    ])  # fmt: skip
    yield base_chain("prerouting", "filter", "prerouting", "-300", [
        # Most frames, in one look-up: whatever TCP is said over IPv4 passes if its sender is who it says, and has no limit.
        "ether type ip meta l4proto tcp counter name iifname . ether saddr . ip saddr map @count_tcp4 accept",
        "iifname . ether saddr @macs goto from_tap",
        f'iifname "{wildcard}" goto refused',
    ])  # fmt: skip
    # Frames for the bridge itself (IEEE 802.1D, table 7-10), such as LLDP, come by here without prerouting.
    yield base_chain("input", "filter", "input", "-200", [
        f'ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 iifname "{wildcard}" goto refused',
    ])  # fmt: skip
    yield base_chain("forward", "filter", "forward", "-200", [
        "meta pkttype other accept",  # most frames: to one neighbour
        "meta pkttype { broadcast, multicast } jump to_many",
    ])  # fmt: skip
    # What is for many has no guest's address: the inet table cannot tell whose rules are meant, only the port it leaves by can.
    yield chain("to_many", [
        # Ports are in hairpin mode, so that a guest reaches itself by its own forward; its shouts do not come back to it.
        "iifname . oifname @same drop",
        "ether type != { ip, ip6 } return",
        "icmpv6 type { 130, 131, 132, 133, 134, 135, 136, 143 } return",
        "udp sport 67 udp dport 68 return",
        "oifname vmap @in_rules",
    ])  # fmt: skip
    yield base_chain("postrouting", "filter", "postrouting", "300", [
        *(["limit name oifname map @limit_in goto too_much"] if has_rates else []),
        "counter name oifname map @count_in",
    ])  # fmt: skip


def _ends(*, has_rates: bool) -> Iterator[str]:
    limited = ["limit name iifname map @limit_out goto refused"] if has_rates else []
    yield chain("refused", ["counter name iifname map @count_dropped", "drop"])
    yield chain("too_much", ["counter name oifname map @count_dropped", "drop"])
    yield chain("passed", [*limited, "counter name iifname map @count_out", "accept"])


def _arp_and_ip4() -> Iterator[str]:
    # Asking whether an address is free (RFC 5227), for its own alone: a probe for another's makes its owner give up.
    yield chain("arp_probe", ["iifname . arp daddr ip @addresses4 goto passed", "goto refused"])
    ethernet = "arp htype 1 arp ptype ip arp hlen 6 arp plen 4"
    yield chain("any_arp", [
        f"{ethernet} arp operation {{ request, reply }} iifname . arp saddr ether . arp saddr ip @senders4 goto passed",
        f"{ethernet} arp operation request iifname . arp saddr ether @macs arp saddr ip 0.0.0.0 goto arp_probe",
        "goto refused",
    ])  # fmt: skip
    yield chain("dhcp4", ["@th,64,8 1 iifname . @th,256,80 @dhcp_clients goto passed", "goto refused"])  # 1: a client's message
    yield chain("udp4", [
        "ip frag-off & 0x1fff != 0 goto passed",  # no header to read, and nothing without the fragment that has it
        "udp sport 67 goto refused",
        "udp dport 67 goto dhcp4",
        "udp dport != 68 goto passed",
        "goto refused",
    ])  # fmt: skip
    yield chain("any_ip4", [
        "ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 goto dhcp4",
        "iifname . ip saddr != @addresses4 goto refused",
        "meta l4proto tcp goto passed",
        "meta l4proto udp goto udp4",
        "icmp type { redirect, router-advertisement } goto refused",
        "igmp type membership-query goto refused",
        "meta l4proto 0-255 goto passed",
        "goto refused",
    ])  # fmt: skip


def _ip6() -> Iterator[str]:
    # Every Linux talks like this over a link it has just found, IPv6 or not: nobody hears it, and it is no sign of anything. Not counted.
    yield chain("chatter6", [
        "ip6 daddr != ff02::/16 goto refused",
        "ip6 saddr :: icmpv6 type nd-neighbor-solicit @th,64,16 & 0xffc0 == 0xfe80 drop",  # is this link-local address free?
        "ip6 saddr != { ::, fe80::/10 } goto refused",
        f"icmpv6 type {_CHATTER} drop",
        "goto refused",
    ])  # fmt: skip
    yield chain("icmp6", [
        f"icmpv6 type {_ICMP6} goto passed",
        "icmpv6 type nd-neighbor-advert iifname . @th,64,128 @targets6 goto passed",
        "goto refused",
    ])  # fmt: skip
    # Not in one line: nft 1.0.6 makes "sport != a dport != b" into "not both".
    yield chain("udp6", ["udp sport 547 goto refused", "udp dport != 546 goto passed", "goto refused"])
    yield chain("upper6", [
        "meta l4proto ipv6-icmp goto icmp6",
        "meta l4proto udp goto udp6",
        "meta l4proto 0-255 goto passed",
        "goto refused",
    ])  # fmt: skip
    yield chain("fragment6", [
        f"frag nexthdr {_EXTENSIONS} goto refused",
        "frag frag-off != 0 goto passed",
        "goto upper6",
    ])  # fmt: skip
    yield chain("unspecified6", [
        f"ip6 nexthdr 0 icmpv6 type {_MLD} goto passed",
        "ip6 nexthdr ipv6-icmp icmpv6 type nd-router-solicit goto passed",
        # Asking whether an address is free (RFC 4862), for its own alone.
        "ip6 nexthdr ipv6-icmp icmpv6 type nd-neighbor-solicit iifname . @th,64,128 @targets6 goto passed",
        "goto refused",
    ])  # fmt: skip
    yield chain("any_ip6", [
        "ip6 saddr :: goto unspecified6",
        "iifname . ip6 saddr != @addresses6 goto refused",
        f"ip6 nexthdr 0 icmpv6 type {_MLD} goto passed",  # behind a router alert, as RFC 3810 wants it
        "ip6 nexthdr 44 goto fragment6",
        f"ip6 nexthdr != {_EXTENSIONS} goto upper6",
        "goto refused",
    ])  # fmt: skip
