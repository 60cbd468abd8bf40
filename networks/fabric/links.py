"""The bridge of a network: made, compared with the plan and mended by rtnetlink."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any
from uuid import UUID

from networks.fabric import names, netlink, sysctls
from networks.fabric.base import Drift, FabricError, Mode, NetworkPlan
from networks.fabric.undoing import Undo

# Bridged packets go through the inet tables by the bridge's own setting, never the host's, which is for everybody's bridges.
# Without snooping, multicast reaches every port: neighbour discovery works with no querier, and no guest can pose as one.
OPTIONS = {"stp_state": 0, "mcast_snooping": 0, "nf_call_iptables": 1, "nf_call_ip6tables": 1}
_LABEL = "opsweb "
_NODAD = 2  # IFA_F_NODAD: usable at once, also while the bridge has no port
_ANY = IPv4Address(0)


@dataclass(frozen=True)
class Bridge:
    """A bridge as the kernel has it."""

    index: int
    mac: str
    mtu: int
    is_up: bool
    options: Mapping[str, int]
    addresses: frozenset[str]  # without IPv6 link-local ones


def mac_of(bridge: str) -> str:
    """A MAC of its own, always the same: a bridge without one takes that of a port, and guests would lose their gateway."""
    return ":".join(("02", *(f"{octet:02x}" for octet in hashlib.sha256(bridge.encode()).digest()[:5])))


def read(ip: Any, name: str) -> Bridge | None:
    """What is so. Raises: FabricError("link_refused") where the name belongs to something that is no bridge."""
    found = netlink.link(ip, name)
    if found is None:
        return None
    if netlink.kind(found) != "bridge":
        raise FabricError("link_refused", f"The host's link {name} is no bridge. Somebody made it; delete it and try again.")
    data = found.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
    options = {option: data.get_attr(f"IFLA_BR_{option.upper()}") for option in OPTIONS}
    addresses = frozenset(map(netlink.address_of, netlink.addresses(ip, found["index"])))
    is_up = bool(found["flags"] & netlink.UP)
    return Bridge(found["index"], found.get_attr("IFLA_ADDRESS"), found.get_attr("IFLA_MTU"), is_up, options, addresses)


def drift(network: NetworkPlan) -> tuple[Drift, ...]:
    """How the bridge and its addresses differ from the plan."""
    with netlink.opened("tell about the bridge") as ip:
        bridge = read(ip, network.bridge)
    if bridge is None:
        return (Drift("bridge", "is gone"),)
    found = []
    if not bridge.is_up:
        found.append(Drift("bridge", "is down"))
    found += [Drift("bridge", f"has {option} {bridge.options[option]}") for option in OPTIONS if bridge.options[option] != OPTIONS[option]]
    found += [Drift("bridge", f"has net/{name} {sysctls.read(name)}") for name, value in _settings(network) if sysctls.read(name) != value]
    if bridge.mtu != network.mtu:
        found.append(Drift("bridge", f"has the MTU {bridge.mtu}"))
    if network.mode is Mode.UPLINK:
        return tuple(found)  # its MAC and addresses are the adapter's: see `uplink`
    if bridge.mac != mac_of(network.bridge):
        found.append(Drift("bridge", f"has the MAC {bridge.mac}"))
    found += [Drift("address", f"{address} is gone") for address in sorted(wanted(network) - bridge.addresses)]
    found += [Drift("address", f"{address} was added by somebody") for address in sorted(bridge.addresses - wanted(network))]
    return tuple(found)


def ensure(network: NetworkPlan, undo: Undo) -> bool:
    """Make the bridge as planned, all but an uplink's addresses; True when it is a new one. `undo` gets the way back."""
    with netlink.opened(f"set up the bridge of {network.name}") as ip:
        before = read(ip, network.bridge)
        if before is None:
            undo.later(remove, network.bridge)
            options = {f"br_{option}": value for option, value in OPTIONS.items()}
            ip.link("add", ifname=network.bridge, kind="bridge", address=_mac(ip, network), **options)
        bridge = read(ip, network.bridge)
        if bridge is None:
            raise FabricError("link_refused", f"The bridge of {network.name} was deleted by somebody while it was set up. Try again.")
        if before is not None:
            undo.later(_restore, network.bridge, before)
        _configure(ip, network, bridge, undo)
    return before is None


def remove(name: str) -> None:
    """Take the bridge away, its addresses with it."""
    with netlink.opened("delete a bridge") as ip:
        netlink.delete(ip, name)


def ours(installation: str) -> dict[str, UUID | None]:
    """Every bridge of the installation → the network that its label names, or None where somebody took the label away."""
    with netlink.opened("list the host's links") as ip:
        rows = [(row.get_attr("IFLA_IFNAME"), row.get_attr("IFLA_IFALIAS") or "") for row in ip.get_links()]
    return {name: _labelled(label) for name, label in rows if names.is_bridge(name, installation)}


def _labelled(label: str) -> UUID | None:
    with suppress(ValueError):
        return UUID(label.removeprefix(_LABEL)) if label.startswith(_LABEL) else None
    return None


def wanted(network: NetworkPlan) -> frozenset[str]:
    """The bridge's own addresses with prefix length; of an uplink none, for its gateway is another machine."""
    if network.mode is Mode.UPLINK:
        return frozenset()
    own = {f"{network.gateway4}/{IPv4Network(network.cidr4).prefixlen}"}
    if network.cidr6:
        own.add(f"{network.gateway6}/{IPv6Network(network.cidr6).prefixlen}")
    return frozenset(own)


def _configure(ip: Any, network: NetworkPlan, bridge: Bridge, undo: Undo) -> None:
    change: dict[str, Any] = {}
    if network.mode is not Mode.UPLINK and bridge.mac != mac_of(network.bridge):
        change["address"] = mac_of(network.bridge)
    if bridge.mtu != network.mtu:
        change["mtu"] = network.mtu
    ip.link("set", index=bridge.index, ifalias=f"{_LABEL}{network.id}", **change)
    if bridge.options != OPTIONS:
        ip.link("set", index=bridge.index, kind="bridge", **{f"br_{option}": value for option, value in OPTIONS.items()})
    for name, value in _settings(network):
        if was := sysctls.read(name):
            undo.later(sysctls.write, name, was)
        sysctls.write(name, value)
    if network.mode is not Mode.UPLINK:
        for address in bridge.addresses - wanted(network):
            netlink.remove_address(ip, bridge.index, address)
        _add(ip, bridge.index, wanted(network) - bridge.addresses)
    if not bridge.is_up:
        ip.link("set", index=bridge.index, state="up")


def _mac(ip: Any, network: NetworkPlan) -> str:
    """An uplink's is its adapter's: who knows the host by its MAC goes on knowing it."""
    adapter = netlink.link(ip, network.adapter) if network.adapter else None
    return str(adapter.get_attr("IFLA_ADDRESS")) if adapter is not None else mac_of(network.bridge)


def _add(ip: Any, index: int, addresses: frozenset[str]) -> None:
    for address in sorted(addresses):
        if ":" in address:
            netlink.add_address(ip, index, address, flags=_NODAD)
        else:
            netlink.add_address(ip, index, address, broadcast=str(IPv4Network(address, strict=False).broadcast_address))


def _restore(name: str, before: Bridge) -> None:
    """What a failed change altered goes back; the bridge itself was there before."""
    with netlink.opened("restore a bridge") as ip:
        bridge = read(ip, name)
        if bridge is None:
            return
        ip.link("set", index=bridge.index, address=before.mac, mtu=before.mtu, state="up" if before.is_up else "down")
        for address in bridge.addresses - before.addresses:
            netlink.remove_address(ip, bridge.index, address)
        _add(ip, bridge.index, before.addresses - bridge.addresses)


def _settings(network: NetworkPlan) -> list[tuple[str, str]]:
    """Kernel settings of the bridge alone, which go with it."""
    own = [localnet(network)]
    if network.mode is not Mode.UPLINK and sysctls.read("ipv6/conf/all/disable_ipv6") is not None:
        v6 = f"ipv6/conf/{network.bridge}"
        # accept_ra: a guest that announced itself as a router would become the host's.
        own += [(f"{v6}/accept_ra", "0"), (f"{v6}/disable_ipv6", "0" if network.cidr6 else "1"), (f"{v6}/accept_dad", "0")]
    return own


def localnet(network: NetworkPlan) -> tuple[str, str]:
    """The setting that lets the host route packets of 127/8 to the bridge: on while a forward binds the host's loopback.

    The filter drops packets of 127/8 that come from the bridge.
    """
    publics = (IPv4Address(forward.public.address) for nic in network.nics for forward in nic.forwards)
    is_needed = any(public.is_loopback or public == _ANY for public in publics)
    return f"ipv4/conf/{network.bridge}/route_localnet", str(int(is_needed))
