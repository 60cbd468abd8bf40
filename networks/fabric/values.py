"""Checks a network's plan whole before the host is touched, for both drivers. Pure.

Values reach dnsmasq's files, netlink and nft. Each is held to its exact form, so none can become a second line, an option or a path.
"""

import re
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeVar
from uuid import UUID

from networks.fabric import names
from networks.fabric.base import FabricError, Mode, NetworkPlan, NicPlan

_T = TypeVar("_T")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_LINK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,14}", re.ASCII)
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII)
_HIGHEST_ID = 2**32 - 2  # 2**32-1 means "no change" to setuid(2)
_LONGEST_NAME = 253  # RFC 1035
_MTU = range(1280, 9001)  # IPv6 needs 1280
_LEASE = range(120, 30 * 86_400 + 1)  # dnsmasq raises anything shorter to two minutes


def check(network: NetworkPlan, installation: str) -> None:
    """Raises: FabricError("bad_network") naming the first value that is not one; `installation` is its 4 hex digits."""
    if not isinstance(network.id, UUID):
        raise _bad("The network's id", network.id, "a UUID")
    if not names.is_bridge(network.bridge, installation):
        raise _bad("The bridge", network.bridge, "a bridge's name of this installation")
    _check_settings(network)
    _check_v4(network)
    _check_v6(network)
    _check_names(network)
    for nic in network.nics:
        check_nic(network, nic, installation)
    for field in ("tap", "mac", "address4", "address6"):
        _check_unique(field, [getattr(nic, field) for nic in network.nics])


def check_nic(network: NetworkPlan, nic: NicPlan, installation: str) -> None:
    """The same for one NIC; that of `network` may hold it or not."""
    if not names.is_tap(nic.tap, installation):
        raise _bad("The tap", nic.tap, "a tap's name of this installation")
    if not _is(_MAC, nic.mac) or int(nic.mac[:2], 16) & 1:
        raise _bad("The MAC", nic.mac, "a unicast MAC in lower case, such as 02:00:00:00:00:01")
    if not _is(_LABEL, nic.name):
        raise _bad("The instance's name", nic.name, "a DNS label")
    _check_member("The NIC's address", nic.address4, IPv4Network(network.cidr4), network.gateway4)
    if nic.address6 and not network.cidr6:
        raise _bad("The NIC's address", nic.address6, "empty where the network has no IPv6")
    if nic.address6:
        _check_member("The NIC's address", nic.address6, IPv6Network(network.cidr6), network.gateway6)
    if type(nic.rate_kbit) is not int or nic.rate_kbit < 0:
        raise _bad("The rate limit", nic.rate_kbit, "a number of kbit/s, 0 for none")


def _check_settings(network: NetworkPlan) -> None:
    if not isinstance(network.mode, Mode):
        raise _bad("The mode", network.mode, "nat, isolated or uplink")
    if type(network.uid) is not int or not 0 < network.uid <= _HIGHEST_ID:
        raise _bad("The user id", network.uid, "one of its own, never root's")
    if type(network.mtu) is not int or network.mtu not in _MTU:
        raise _bad("The MTU", network.mtu, f"between {_MTU[0]} and {_MTU[-1]}")
    if type(network.lease_seconds) is not int or network.lease_seconds not in _LEASE:
        raise _bad("The lease time", network.lease_seconds, f"between {_LEASE[0]} and {_LEASE[-1]} seconds")
    if (network.mode is Mode.UPLINK) != bool(network.adapter):
        raise _bad("The adapter", network.adapter, "named for an uplink, and only for one")
    if network.adapter and (not _is(_LINK, network.adapter) or network.adapter == "lo" or network.adapter.startswith("ow")):
        raise _bad("The adapter", network.adapter, "the name of one of the host's own network adapters")


def _check_v4(network: NetworkPlan) -> None:
    cidr = _canonical("The subnet", network.cidr4, IPv4Network)
    if not 8 <= cidr.prefixlen <= 30:
        raise _bad("The subnet", network.cidr4, "one with a prefix between /8 and /30, which leaves room for guests")
    if cidr.is_multicast or cidr.is_loopback or cidr.is_link_local or cidr.is_unspecified or cidr.is_reserved:
        raise _bad("The subnet", network.cidr4, "made of addresses that a guest can have")
    _check_member("The gateway", network.gateway4, cidr, "")


def _check_v6(network: NetworkPlan) -> None:
    if bool(network.cidr6) != bool(network.gateway6):
        raise _bad("The gateway", network.gateway6, "given exactly where the network has IPv6")
    if not network.cidr6:
        return
    cidr = _canonical("The prefix", network.cidr6, IPv6Network)
    if cidr.prefixlen != 64:
        raise _bad("The prefix", network.cidr6, "a /64: nothing else can be announced to guests")
    if cidr.is_multicast or cidr.is_loopback or cidr.is_link_local or cidr.is_unspecified:
        raise _bad("The prefix", network.cidr6, "made of addresses that a guest can have")
    _check_member("The gateway", network.gateway6, cidr, "")


def _check_names(network: NetworkPlan) -> None:
    if network.domain and not _is_domain(network.domain):
        raise _bad("The domain", network.domain, "a DNS domain in lower case, such as net.internal")
    for resolver in network.resolvers:
        _unicast("The resolver", resolver)
    for name, address in network.records:
        if not _is_domain(name):
            raise _bad("The record's name", name, "a DNS name in lower case")
        _unicast("The record's address", address)


def _check_member(what: str, text: str, cidr: IPv4Network | IPv6Network, gateway: str) -> None:
    address = _canonical(what, text, IPv4Address if cidr.version == 4 else IPv6Address)
    if address not in cidr or address == cidr.network_address or (cidr.version == 4 and address == cidr.broadcast_address):
        raise _bad(what, text, f"an address that {cidr} leaves for it")
    if text == gateway:
        raise _bad(what, text, "another one: this is the gateway's")


def _check_unique(field: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in filter(None, values):
        if value in seen:
            raise FabricError("bad_network", f"Two NICs of the network have the same {field}: {value}.")
        seen.add(value)


def _unicast(what: str, text: str) -> None:
    address = _canonical(what, text, ip_address)
    if address.is_multicast or address.is_unspecified or getattr(address, "scope_id", None):
        raise _bad(what, text, "the IP address of one machine")


def _canonical(what: str, text: str, parse: Callable[[str], _T]) -> _T:
    try:
        parsed = parse(text)
    except (ValueError, TypeError):
        raise _bad(what, text, "written as one") from None
    if str(parsed) != text:
        raise _bad(what, text, f"written as {parsed}")
    return parsed


def _is_domain(text: str) -> bool:
    return type(text) is str and len(text) <= _LONGEST_NAME and all(_is(_LABEL, label) for label in text.split("."))


def _is(pattern: re.Pattern[str], text: str) -> bool:
    return type(text) is str and pattern.fullmatch(text) is not None


def _bad(what: str, value: object, wanted: str) -> FabricError:
    shown = value if isinstance(value, int) else str(value)[:60]
    return FabricError("bad_network", f"{what} {shown!r} is not {wanted}.")
