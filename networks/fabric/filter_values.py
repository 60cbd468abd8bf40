"""Plans of networks as the filter's renderers want them: each value checked, made canonical, in order. Pure."""

import functools
import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_network
from uuid import UUID

from networks.fabric import checks, names
from networks.fabric.base import FabricError, ForwardPlan, Mode, NetworkPlan, NicPlan, RulePlan
from networks.fabric.guard import overlap

_CODE = "bad_network"
_TAG = re.compile(r"[0-9a-f]{4}", re.ASCII)
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII)
_CheckRules = Callable[[tuple[RulePlan, ...]], tuple[RulePlan, ...]]
_HIGHEST_UID = 2**32 - 2  # 2**32-1 means "no change" to setuid(2)
_HIGHEST_RATE = 400_000_000  # kbit/s: more than any link has


def checked_tag(tag: str) -> str:
    """The same tag: an installation's 4 hex digits. Raises: FabricError("bad_network")."""
    if not _TAG.fullmatch(tag):
        raise FabricError(_CODE, f"The installation's tag must be 4 hexadecimal digits, not {tag[:20]!r}.")
    return tag


def checked(tag: str, networks: Iterable[NetworkPlan]) -> tuple[NetworkPlan, ...]:
    """The same networks, sorted and canonical. Raises: FabricError("bad_network") naming the value."""
    rules = functools.cache(_rules)  # NICs under the same rules share one tuple
    plans = tuple(sorted((_network(checked_tag(tag), network, rules) for network in networks), key=lambda plan: plan.bridge))
    nics = [nic for plan in plans for nic in plan.nics]
    _refuse_twice("bridge", (plan.bridge for plan in plans))
    _refuse_twice("tap", (nic.tap for nic in nics))
    _refuse_twice("MAC address", (nic.mac for nic in nics))
    # The rules go by addresses: one that means two guests would mix up whose they are.
    _refuse_twice("address", (address for nic in nics for address in (nic.address4, nic.address6) if address))
    _refuse_overlap([forward for nic in nics for forward in nic.forwards])
    known = {plan.bridge for plan in plans}
    return tuple(replace(plan, linked=tuple(bridge for bridge in plan.linked if bridge in known)) for plan in plans)


@functools.lru_cache(4096)  # each NIC's is asked for in several places of the text
def link_local(mac: str) -> str:
    """The link-local address that a MAC makes (RFC 4291, appendix A: modified EUI-64)."""
    octets = [int(octet, 16) for octet in mac.split(":")]
    return str(IPv6Address(b"\xfe\x80" + bytes(6) + bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])))


def _network(tag: str, plan: NetworkPlan, rules: _CheckRules) -> NetworkPlan:
    if not isinstance(plan.mode, Mode):
        raise FabricError(_CODE, f"{plan.mode!r} is no mode of a network.")
    for bridge in (plan.bridge, *plan.linked):
        if not names.is_bridge(bridge, tag):
            raise FabricError(_CODE, f"{bridge[:40]!r} is no bridge of installation {tag}.")
    net4, net6 = _network4(plan.cidr4), _network6(plan.cidr6)
    if type(plan.uid) is not int or not 0 <= plan.uid <= _HIGHEST_UID:
        raise FabricError(_CODE, f"{plan.uid!r} is no user id.")
    gateways = _host_of(net4, plan.gateway4), _host6(net6, plan.gateway6)
    return replace(
        plan,
        cidr4=str(net4),
        gateway4=gateways[0],
        cidr6=str(net6 or ""),
        gateway6=gateways[1],
        resolvers=tuple(sorted({_address(resolver) for resolver in plan.resolvers})),
        linked=tuple(sorted({bridge for bridge in plan.linked if bridge != plan.bridge})),
        nics=tuple(sorted((_nic(tag, nic, gateways, net4, net6, rules) for nic in plan.nics), key=lambda nic: nic.tap)),
    )


def _nic(tag: str, nic: NicPlan, gateways: tuple[str, str], net4: IPv4Network, net6: IPv6Network | None, rules: _CheckRules) -> NicPlan:
    if not names.is_tap(nic.tap, tag):
        raise FabricError(_CODE, f"{nic.tap[:40]!r} is no tap of installation {tag}.")
    address4, address6 = _host_of(net4, nic.address4), _host6(net6, nic.address6)
    if address4 == gateways[0] or (address6 and address6 == gateways[1]):
        raise FabricError(_CODE, f"A guest's address is its gateway's: {address4} {address6}".rstrip() + ".")
    return replace(
        nic,
        mac=_mac(nic.mac),
        address4=address4,
        address6=address6,
        rate_kbit=_rate(nic.rate_kbit),
        rules=rules(nic.rules),
        firm=rules(nic.firm),
        forwards=tuple(sorted({_forward(forward) for forward in nic.forwards}, key=lambda forward: forward.public)),
    )


def _rules(rules: tuple[RulePlan, ...]) -> tuple[RulePlan, ...]:
    return tuple(_rule(rule) for rule in rules)


def _rule(rule: RulePlan) -> RulePlan:
    if not (isinstance(rule.id, UUID) and isinstance(rule.allow, bool) and isinstance(rule.inbound, bool)):
        raise FabricError(_CODE, f"{rule!r} is no rule.")
    if rule.protocol not in ("any", "tcp", "udp", "icmp"):
        raise FabricError(_CODE, f"The protocol {rule.protocol!r} is none of any, tcp, udp, icmp.")
    if rule.ports is not None and rule.protocol not in ("tcp", "udp"):
        raise FabricError(_CODE, f"A rule for {rule.protocol} has no ports.")
    ports = tuple(checks.port(port, _CODE) for port in rule.ports or ())
    if rule.ports is not None and (len(ports) != 2 or ports[0] > ports[1]):
        raise FabricError(_CODE, f"{rule.ports!r} is no range of ports: it runs from the lower to the higher.")
    return replace(rule, ports=(ports[0], ports[1]) if ports else None, peers=None if rule.peers is None else _peers(rule.peers))


def _peers(peers: Sequence[str]) -> tuple[str, ...]:
    """Sorted, none within another: nft takes no overlapping ones."""
    networks = [_any_cidr(peer) for peer in peers]
    of4 = collapse_addresses(network for network in networks if isinstance(network, IPv4Network))
    of6 = collapse_addresses(network for network in networks if isinstance(network, IPv6Network))
    return (*map(str, of4), *map(str, of6))


def _any_cidr(text: str) -> IPv4Network | IPv6Network:
    try:
        if "%" not in text:  # a zone is no part of what nft compares
            return ip_network(text, strict=False)
        raise ValueError
    except ValueError:
        raise FabricError(_CODE, f"{text!r} is no address or CIDR.") from None


def _address(text: str) -> str:
    if not isinstance(text, str) or "/" in text:
        raise FabricError(_CODE, f"{text!r} is no address.")
    return str(_any_cidr(text).network_address)


def _forward(forward: ForwardPlan) -> ForwardPlan:
    return ForwardPlan(checks.endpoint(forward.public, _CODE), checks.port(forward.guest_port, _CODE))


def _network4(text: str) -> IPv4Network:
    network = _any_cidr(text)
    if not isinstance(network, IPv4Network):
        raise FabricError(_CODE, f"{text!r} is no IPv4 network.")
    return network


def _network6(text: str) -> IPv6Network | None:
    network = _any_cidr(text) if text else None
    if isinstance(network, IPv4Network):
        raise FabricError(_CODE, f"{text!r} is no IPv6 network.")
    return network


def _host_of(network: IPv4Network | IPv6Network, text: str) -> str:
    address = _any_cidr(text).network_address if isinstance(text, str) and "/" not in text else None
    if address is None or address not in network:
        raise FabricError(_CODE, f"The address {text!r} is not in {network}.")
    if network.num_addresses > 2 and address in (network.network_address, network.broadcast_address):
        raise FabricError(_CODE, f"The address {text!r} is the first or last of {network}, which is nobody's.")
    return str(address)


def _host6(network: IPv6Network | None, text: str) -> str:
    if not text:
        return ""
    if network is None:
        raise FabricError(_CODE, f"The address {text!r} is on a network without IPv6.")
    return _host_of(network, text)


def _mac(text: str) -> str:
    mac = text.lower()
    if not _MAC.fullmatch(mac) or int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise FabricError(_CODE, f"{text[:40]!r} is no MAC address of one adapter.")
    return mac


def _rate(rate: int) -> int:
    if type(rate) is not int or not 0 <= rate <= _HIGHEST_RATE:
        raise FabricError(_CODE, f"{rate!r} is no rate. Rates go from 1 to {_HIGHEST_RATE} kbit/s; 0 means none.")
    return rate


def _refuse_twice(what: str, values: Iterable[Hashable]) -> None:
    seen: set[Hashable] = set()
    for value in values:
        if value in seen:
            raise FabricError(_CODE, f"The {what} {value} is given twice.")
        seen.add(value)


def _refuse_overlap(forwards: Sequence[ForwardPlan]) -> None:
    by_port: dict[tuple[str, int], list[ForwardPlan]] = {}
    for forward in forwards:
        others = by_port.setdefault((forward.public.protocol, forward.public.port), [])
        if any(overlap(forward.public, other.public) for other in others):
            raise FabricError(
                _CODE, f"Port {forward.public.port}/{forward.public.protocol} of {forward.public.address} is forwarded twice."
            )
        others.append(forward)
