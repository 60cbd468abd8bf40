"""Packets between links: the host's switches for it, turned on while a network needs them and put back with the last one.

What a switch was is written down before it is first touched. Turning on IPv6 forwarding makes the kernel ignore router advertisements,
so a host that got its route from one is told first to heed them all the same (accept_ra 2).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from networks.fabric import files, host, names, netlink, sysctls
from networks.fabric.base import Mode, NetworkPlan

V4, V6 = "ipv4/ip_forward", "ipv6/conf/all/forwarding"
_RA = 9  # RTPROT_RA


def wanted(networks: Sequence[NetworkPlan]) -> dict[str, str]:
    """The switches that these networks need."""
    routed = [network for network in networks if network.mode is Mode.NAT or network.linked]
    found = {V4: "1"} if routed else {}
    if any(network.cidr6 for network in routed) and sysctls.read(V6) is not None:
        found[V6] = "1"
    return found


def holds(networks: Sequence[NetworkPlan]) -> bool:
    """Whether all of them are on, and the host still heeds its router."""
    switches = wanted(networks)
    return all(sysctls.read(name) == value for name, value in switches.items()) and (V6 not in switches or not heedless())


def apply(networks: Sequence[NetworkPlan], record: Path, installation: str) -> None:
    """Turn on what is needed, put back what no longer is. Raises: FabricError("link_refused")."""
    switches, before = wanted(networks), _load(record)
    if V6 in switches:
        for link in heedless():
            _set(f"ipv6/conf/{link}/accept_ra", "2", before, record)
    for name, value in switches.items():
        _set(name, value, before, record)
    unneeded = [name for name in (V4, V6) if name in before and name not in switches]
    if unneeded and not _others(installation):
        _restore(unneeded, before, record)


def heedless() -> list[str]:
    """Links that the host has a route through by router advertisement, and that would lose it with IPv6 forwarding on."""
    with netlink.opened("tell about the host's routes") as ip:
        links = {row["index"]: row.get_attr("IFLA_IFNAME") for row in ip.get_links()}
        found = {links.get(row.get_attr("RTA_OIF"), "") for row in ip.get_routes(family=10) if row["proto"] == _RA}
    return sorted(link for link in found - {""} if sysctls.read(f"ipv6/conf/{link}/accept_ra") == "1")


def _set(name: str, value: str, before: dict[str, Any], record: Path) -> None:
    was = sysctls.read(name)
    if was == value:
        return
    if name not in before and was is not None:
        before[name] = {"was": was, "links": _of_links(name)}
        _save(record, before)
    sysctls.write(name, value)


def _restore(unneeded: list[str], before: dict[str, Any], record: Path) -> None:
    for name in unneeded:
        sysctls.write(name, before[name]["was"])
        for link, value in before[name]["links"].items():  # the switch has set every link's own one, too
            if sysctls.read(link) is not None:
                sysctls.write(link, value)
        del before[name]
    if V6 not in before:
        for name in [name for name in before if name.endswith("/accept_ra")]:
            if sysctls.read(name) is not None:
                sysctls.write(name, before[name]["was"])
            del before[name]
    _save(record, before)


def _of_links(name: str) -> dict[str, str]:
    family = {V4: "ipv4", V6: "ipv6"}.get(name)
    if family is None:
        return {}
    own = (f"{family}/conf/{link}/forwarding" for link in ["default", *sysctls.links(family)])
    return {path: value for path in own if (value := sysctls.read(path)) is not None}


def _others(installation: str) -> bool:
    """Whether another installation has bridges here: it may need what we turned on, and would notice a moment too late."""
    with netlink.opened("list the host's links") as ip:
        found = [row.get_attr("IFLA_IFNAME") for row in ip.get_links()]
    return any(names.is_bridge(name, name[2:6]) and name[2:6] != installation for name in found)


def _load(record: Path) -> dict[str, Any]:
    text = files.read(record)
    stored = json.loads(text) if text else {}
    return stored["before"] if stored.get("boot") == host.boot_id() else {}


def _save(record: Path, before: dict[str, Any]) -> None:
    if before:
        files.write(record, json.dumps({"boot": host.boot_id(), "before": before}))
    else:
        record.unlink(missing_ok=True)
