"""An adapter of the host as the uplink of a bridge: its addresses and routes move over and come back.

What was is written to a file before the first change, and every step may be done again, so a crash at any point is mended by the next
pass or by removing the network. If the router answered before and does not afterwards, all goes back at once.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from networks.fabric import arp, files, host, netlink, routes, sysctls
from networks.fabric.base import Drift, FabricError, NetworkPlan
from networks.fabric.routes import Gathered
from networks.fabric.undoing import Undo

_V6_SETTINGS = ("disable_ipv6", "accept_ra", "autoconf", "accept_dad")  # as the adapter has them: the host's IPv6 goes on as it was
_UNFIT_KINDS = ("bridge", "bond", "tun", "wireguard", "macvlan", "ipvlan", "sit", "gre", "vxlan")


def ensure(network: NetworkPlan, directory: Path, undo: Undo) -> None:
    """Make the adapter a port of the bridge and move what is its own; what is so is left alone.

    Raises: FabricError("would_cut_off") with everything back in its place, FabricError("link_refused").
    """
    with netlink.opened(f"make {network.adapter} the uplink of {network.name}") as ip:
        adapter, bridge = _both(ip, network)
        if adapter.get_attr("IFLA_MASTER") == bridge["index"]:
            moved = _load(directory) or routes.gather(ip, bridge["index"])
            return _move(ip, network, adapter, bridge, moved)
        reason = unfit(adapter)
        if reason:
            raise FabricError("would_cut_off", f"{network.adapter} cannot become an uplink: {reason}.")
        moved = _present(ip, adapter["index"], directory)
        expected = arp.answering(network.adapter, _gateways(network, moved), _own(moved), arp.SHORT)
        files.write(directory / "uplink", json.dumps({"boot": host.boot_id(), **asdict(moved)}))
        undo.later(give_back, network.bridge, network.adapter, directory)
        _move(ip, network, adapter, bridge, moved)
    silent = expected - arp.answering(network.bridge, expected, _own(moved), arp.LONG)
    if silent:
        message = f"With {network.adapter} on the bridge, {', '.join(sorted(silent))} stopped answering. Everything was put back."
        raise FabricError("would_cut_off", message)
    return None


def drift(network: NetworkPlan, directory: Path) -> tuple[Drift, ...]:
    """How the uplink differs: adapter, addresses, routes."""
    with netlink.opened("tell about the uplink") as ip:
        adapter, bridge = netlink.link(ip, network.adapter), netlink.link(ip, network.bridge)
        if adapter is None:
            return (Drift("uplink", f"{network.adapter} is gone"),)
        if bridge is None or adapter.get_attr("IFLA_MASTER") != bridge["index"]:
            return (Drift("uplink", f"{network.adapter} is no port of the bridge"),)
        found = [] if adapter["flags"] & netlink.UP else [Drift("uplink", f"{network.adapter} is down")]
        moved, present = _load(directory), routes.gather(ip, bridge["index"])
        if moved is not None:
            here = {address["address"] for address in present.addresses}
            found += [Drift("address", f"{row['address']} is gone") for row in moved.addresses if row["address"] not in here]
            found += [Drift("route", f"to {row['dst']} is gone") for row in moved.routes if row not in present.routes]
        return tuple(found)


def give_back(bridge: str, adapter: str, directory: Path) -> None:
    """Free the adapter and give it back what is its own; the bridge stays, for the caller to delete."""
    with netlink.opened(f"give {adapter} back its addresses") as ip:
        found, port_of = netlink.link(ip, adapter), netlink.link(ip, bridge)
        moved = _load(directory)
        if found is None:
            return
        if port_of is not None and found.get_attr("IFLA_MASTER") == port_of["index"]:
            moved = moved or routes.gather(ip, port_of["index"])
            ip.link("set", index=found["index"], master=0)
        if moved is not None:
            routes.put(ip, moved, found["index"], port_of["index"] if port_of else None)
    (directory / "uplink").unlink(missing_ok=True)


def unfit(adapter: Any) -> str:
    """Why the link cannot become a port without harm; "" when it can."""
    name, kind = adapter.get_attr("IFLA_IFNAME"), netlink.kind(adapter)
    if name == "lo" or adapter["ifi_type"] != 1:  # ARPHRD_ETHER
        return "it is no Ethernet adapter"
    if kind in _UNFIT_KINDS:
        return f"it is a {kind}"
    if adapter.get_attr("IFLA_MASTER"):
        return "it is already a port of a bridge or bond"
    if host.is_wireless(name):
        return "it is wireless, and an access point takes frames of one MAC only"
    if not adapter["flags"] & netlink.UP or adapter.get_attr("IFLA_CARRIER") == 0:
        return "it carries no link"
    return ""


def _both(ip: Any, network: NetworkPlan) -> tuple[Any, Any]:
    adapter, bridge = netlink.link(ip, network.adapter), netlink.link(ip, network.bridge)
    if adapter is None:
        raise FabricError("link_refused", f"The host has no network adapter {network.adapter}.")
    if bridge is None:
        raise FabricError("link_refused", f"The bridge of {network.name} was deleted by somebody while it was set up. Try again.")
    return adapter, bridge


def _present(ip: Any, index: int, directory: Path) -> Gathered:
    """What the adapter has now, and what a pass that was killed half-way took from it."""
    present, earlier = routes.gather(ip, index), _load(directory)
    if earlier is None:
        return Gathered(present.addresses, present.routes)
    here = {row["address"] for row in present.addresses}
    addresses = [*present.addresses, *(row for row in earlier.addresses if row["address"] not in here)]
    return Gathered(addresses, [*present.routes, *(row for row in earlier.routes if row not in present.routes)])


def _move(ip: Any, network: NetworkPlan, adapter: Any, bridge: Any, moved: Gathered) -> None:
    """In this order: the addresses are on the bridge before its routes, and off the adapter only when nothing needs them there."""
    mac = adapter.get_attr("IFLA_ADDRESS")
    if bridge.get_attr("IFLA_ADDRESS") != mac:
        ip.link("set", index=bridge["index"], address=mac)
    for setting in _V6_SETTINGS:
        value = sysctls.read(f"ipv6/conf/{network.adapter}/{setting}")
        if value is not None:
            sysctls.write(f"ipv6/conf/{network.bridge}/{setting}", value)
    if adapter.get_attr("IFLA_MASTER") != bridge["index"]:
        ip.link("set", index=adapter["index"], master=bridge["index"])
        ip.link("set", index=bridge["index"], mtu=network.mtu)  # the kernel has just made it the port's
    if not adapter["flags"] & netlink.UP:
        ip.link("set", index=adapter["index"], state="up")
    routes.put(ip, moved, bridge["index"], adapter["index"])


def _load(directory: Path) -> Gathered | None:
    text = files.read(directory / "uplink")
    stored = json.loads(text) if text else {}
    if stored.get("boot") != host.boot_id():
        return None  # since a reboot the host's own configuration says what it has
    return Gathered(stored["addresses"], stored["routes"])


def _gateways(network: NetworkPlan, moved: Gathered) -> set[str]:
    return {network.gateway4} | {row["gateway"] for row in moved.routes if "." in row.get("gateway", "")}


def _own(moved: Gathered) -> str:
    return next((row["address"].partition("/")[0] for row in moved.addresses if "." in row["address"]), "0.0.0.0")  # noqa: S104
