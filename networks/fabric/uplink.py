"""An adapter of the host as the uplink of a bridge: its addresses and routes move over and come back.

What was is written to a file before the first change, and every step may be done again, so a crash at any point is mended by the next
pass or by removing the network. If a router of either family answered before and does not afterwards, all goes back at once.
"""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from networks.fabric import arp, files, fitness, host, ndp, neighbours, netlink, routes, sysctls
from networks.fabric.base import Drift, FabricError, NetworkPlan
from networks.fabric.routes import Gathered
from networks.fabric.undoing import Undo

_V6_SETTINGS = (  # as the adapter has them: the host's IPv6 goes on as it was
    "disable_ipv6", "accept_dad", "autoconf", "use_tempaddr", "ra_defrtr_metric", "accept_ra_defrtr", "accept_ra_pinfo",
    "accept_ra_rtr_pref", "accept_ra_rt_info_min_plen", "accept_ra_rt_info_max_plen", "accept_ra_min_hop_limit", "accept_ra_min_lft",
    "accept_ra_mtu", "accept_ra",
)  # fmt: skip
_LINK = 253  # RT_SCOPE_LINK


def ensure(network: NetworkPlan, directory: Path, undo: Undo) -> None:
    """Make the adapter a port of the bridge and move what is its own; what is so is left alone.

    Raises: FabricError("would_cut_off") with everything back in its place, FabricError("link_refused").
    """
    with netlink.opened(f"make {network.adapter} the uplink of {network.name}") as ip:
        adapter, bridge = _both(ip, network)
        if adapter.get_attr("IFLA_MASTER") == bridge["index"]:
            earlier = _load(directory)
            _move(ip, network, adapter, bridge, earlier or routes.gather(ip, bridge["index"]))
            return _settle(network, directory, earlier) if earlier else None
        reasons = fitness.reasons(ip, adapter)
        if reasons:
            raise FabricError("would_cut_off", f"{network.adapter} cannot become an uplink: {reasons[0]}.")
        moved = _present(ip, adapter["index"], directory)
        own = _own(ip, adapter["index"], moved)
        expected = _answering(network.adapter, _routers(network, moved), own, neighbours.SHORT)
        _save(directory, moved)
        undo.later(give_back, network.bridge, network.adapter, directory)
        _move(ip, network, adapter, bridge, moved)
        _settle(network, directory, moved)
    silent = expected - _answering(network.bridge, expected, own, neighbours.LONG)
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
            moved = moved.lasting()  # a move that died half-way has left the rest
            here = {address["address"] for address in present.addresses}
            found += [Drift("address", f"{row['address']} is gone") for row in moved.addresses if row["address"] not in here]
            found += [Drift("route", f"to {row['dst']} is gone") for row in moved.routes if not routes.holds(row, present.routes)]
        return tuple(found)


def give_back(bridge: str, adapter: str, directory: Path) -> None:
    """Free the adapter and give it back what is its own; the bridge stays, for the caller to delete."""
    with netlink.opened(f"give {adapter} back its addresses") as ip:
        found, port_of = netlink.link(ip, adapter), netlink.link(ip, bridge)
        moved = _load(directory)
        if found is None:
            return
        if port_of is not None and found.get_attr("IFLA_MASTER") == port_of["index"]:
            now = routes.gather(ip, port_of["index"])
            moved = moved.as_now(now) if moved else now
            _save(directory, moved)  # whoever goes on after a crash finds no port any more
            ip.link("set", index=found["index"], master=0)
        if moved is not None:
            if not found["flags"] & netlink.UP:  # it was up when it came, and takes no route otherwise
                ip.link("set", index=found["index"], state="up")
            routes.put(ip, moved, found["index"], port_of["index"] if port_of else None)
    if moved is not None and moved.is_advertised():
        ndp.solicit(adapter)
    (directory / "uplink").unlink(missing_ok=True)


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
        return present
    here = {row["address"] for row in present.addresses}
    addresses = [*present.addresses, *(row for row in earlier.addresses if row["address"] not in here)]
    lasting = [*present.routes, *(row for row in earlier.routes if not routes.holds(row, present.routes))]
    return Gathered(addresses, lasting, present.passing or earlier.passing)


def _move(ip: Any, network: NetworkPlan, adapter: Any, bridge: Any, moved: Gathered) -> None:
    """In this order: the addresses are on the bridge before its routes, and off the adapter only when nothing needs them there."""
    mac = adapter.get_attr("IFLA_ADDRESS")
    if bridge.get_attr("IFLA_ADDRESS") != mac:
        ip.link("set", index=bridge["index"], address=mac)
    for setting in _V6_SETTINGS:
        value = sysctls.read(f"ipv6/conf/{network.adapter}/{setting}")
        if value not in (None, sysctls.read(f"ipv6/conf/{network.bridge}/{setting}")):
            sysctls.write(f"ipv6/conf/{network.bridge}/{setting}", str(value))
    if adapter.get_attr("IFLA_MASTER") != bridge["index"]:
        ip.link("set", index=adapter["index"], master=bridge["index"])
        ip.link("set", index=bridge["index"], mtu=network.mtu)  # the kernel has just made it the port's
    if not adapter["flags"] & netlink.UP:
        ip.link("set", index=adapter["index"], state="up")
    routes.put(ip, moved, bridge["index"], adapter["index"])


def _settle(network: NetworkPlan, directory: Path, moved: Gathered) -> None:
    """From now on the kernel renews on the bridge what passes; nobody puts it there again."""
    if moved != moved.lasting():
        _save(directory, moved.lasting())
        ndp.solicit(network.bridge)


def _save(directory: Path, moved: Gathered) -> None:
    files.write(directory / "uplink", json.dumps({"boot": host.boot_id(), "at": _now(), **asdict(moved)}))


def _load(directory: Path) -> Gathered | None:
    text = files.read(directory / "uplink")
    stored = json.loads(text) if text else {}
    if stored.get("boot") != host.boot_id():
        return None  # since a reboot the host's own configuration says what it has
    moved = Gathered(stored["addresses"], stored["routes"], stored.get("passing", []))
    return routes.shortened(moved, _now() - stored.get("at", _now()))


def _now() -> int:
    """Seconds by a clock that nobody sets, as the kernel's of what expires."""
    return int(time.clock_gettime(time.CLOCK_MONOTONIC))


def _routers(network: NetworkPlan, moved: Gathered) -> set[str]:
    """Of both families, whatever kind of route leads to them over the adapter."""
    hops = [hop for row in (*moved.routes, *moved.passing) for hop in row.get("hops", [row]) if not hop.get("oif")]
    found = {hop.get("gateway") or hop.get("via", {}).get("addr", "") for hop in hops}
    return (found | {network.gateway4, network.gateway6}) - {""}


def _own(ip: Any, index: int, moved: Gathered) -> tuple[str, str]:
    """Who asks: an IPv4 and an IPv6 address of the adapter, the second a link-local one, which a router takes from anybody."""
    local = [str(row.get_attr("IFA_ADDRESS")) for row in ip.get_addr(index=index, family=routes.V6, scope=_LINK)]
    mine = [row["address"].partition("/")[0] for row in moved.addresses]
    own4 = (address for address in mine if "." in address)
    own6 = (address for address in (*local, *mine) if ":" in address)
    return next(own4, "0.0.0.0"), next(own6, "::")  # noqa: S104


def _answering(link: str, routers: set[str], own: tuple[str, str], seconds: float) -> set[str]:
    v6 = {router for router in routers if ":" in router}
    return arp.answering(link, routers - v6, own[0], seconds) | ndp.answering(link, v6, own[1], seconds)
