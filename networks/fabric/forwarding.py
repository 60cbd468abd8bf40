"""Packets between links: the host's switches for it, turned on while a network needs them and put back with the last one.

What a switch was is written down before it is first touched. Turning on IPv6 forwarding makes the kernel ignore router advertisements,
so a host that got its route from one is told first to heed them all the same (accept_ra 2).

Other installations on the host may need the same switches. Each says in the kernel what it needs and what it found (`needs`); who comes
later writes that down as well, so that the last one to go puts back what the first one found.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from networks.fabric import files, host, needs, netlink, sysctls
from networks.fabric.base import Mode, NetworkPlan

V4, V6 = "ipv4/ip_forward", "ipv6/conf/all/forwarding"
_FAMILIES = {V4: "ipv4", V6: "ipv6"}
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


@dataclass(frozen=True)
class Change:
    """What brings the switches to a wish. What they were is noted already; then `text` is for nft(8), and then they are switched."""

    text: str  # tells the others; in one transaction with the filter, whose table makes the need one to be heeded
    values: Mapping[str, str]  # to be turned on
    unneeded: Sequence[str]
    noted: dict[str, Any]
    record: Path
    installation: str

    def make(self) -> None:
        """Turn on what is needed, put back what no longer is. Raises: FabricError("link_refused"), FabricError("rules_refused")."""
        for name, value in self.values.items():
            sysctls.write(name, value)
        if self.unneeded:
            _leave(self.unneeded, self.noted, self.record, self.installation)


def change(networks: Sequence[NetworkPlan], record: Path, installation: str) -> Change:
    """The way to what these networks need. Raises: FabricError("link_refused"), FabricError("rules_refused")."""
    switches, before = wanted(networks), _load(record)
    values = ({_accept_ra(link): "2" for link in heedless()} if V6 in switches else {}) | switches
    noted = _noted(values, before, installation)
    if noted != before:
        _save(record, noted)
    text = needs.text_of(installation, _told(switches, noted), anew=noted != before)
    unneeded = [name for name in (V4, V6) if name in noted and name not in switches]
    return Change(text, values, unneeded, noted, record, installation)


def heedless() -> list[str]:
    """Links that the host has a route through by router advertisement, and that would lose it with IPv6 forwarding on."""
    with netlink.opened("tell about the host's routes") as ip:
        links = {row["index"]: row.get_attr("IFLA_IFNAME") for row in ip.get_links()}
        found = {links.get(row.get_attr("RTA_OIF"), "") for row in ip.get_routes(family=10) if row["proto"] == _RA}
    return sorted(link for link in found - {""} if sysctls.read(_accept_ra(link)) == "1")


def _noted(change: dict[str, str], before: dict[str, Any], installation: str) -> dict[str, Any]:
    """`before`, and what else is to be put back one day: it is so now, or was so when another installation came."""
    noted = dict(before)
    for name, value in change.items():
        was = sysctls.read(name)
        if name in before or was is None:
            continue
        if was != value:
            noted[name] = {"was": was, "links": _of_links(name)}
        elif name in _FAMILIES and (found := needs.found_by_others(installation, _FAMILIES[name])) is not None:
            noted[name] = {"was": "0", "links": {f"{_FAMILIES[name]}/conf/{link}/forwarding": "1" for link in found}}
            raised = needs.found_by_others(installation, "accept_ra") if name == V6 else None
            noted |= {_accept_ra(link): {"was": "1", "links": {}} for link in raised or ()}
    return noted


def _told(switches: Iterable[str], noted: dict[str, Any]) -> dict[str, list[str] | None]:
    """For the others: what is needed, and with it which links forwarded (or had accept_ra 1) before; None where it was on already."""
    told: dict[str, list[str] | None] = {}
    for name in switches:
        links = noted[name]["links"] if name in noted else None
        told[_FAMILIES[name]] = None if links is None else [path.split("/")[2] for path, value in links.items() if value == "1"]
    if told.get("ipv6") is not None:
        told["accept_ra"] = [name.split("/")[2] for name in noted if name.endswith("/accept_ra")]
    return told


def _leave(unneeded: Sequence[str], before: dict[str, Any], record: Path, installation: str) -> None:
    """Put back what nobody else needs. What another installation needs is that one's to put back: it has noted what we did."""
    others = needs.of_others(installation)
    theirs = [name for name in unneeded if _FAMILIES[name] in others]
    for name in theirs:
        del before[name]
    if V6 in theirs:
        for name in [name for name in before if name.endswith("/accept_ra")]:
            del before[name]
    ours = [name for name in unneeded if name in before]
    _save(record, before)
    if needs.are_unknown(installation):
        return  # the next call looks again
    undone = {name: before[name] for name in ours}
    _restore(ours, before, record)
    for name in ours:
        if _FAMILIES[name] in needs.of_others(installation):  # who came in between found the switch on
            sysctls.write(name, "1")
            before[name] = undone[name]
    _save(record, before)


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


def _accept_ra(link: str) -> str:
    return f"ipv6/conf/{link}/accept_ra"


def _of_links(name: str) -> dict[str, str]:
    family = _FAMILIES.get(name)
    if family is None:
        return {}
    own = (f"{family}/conf/{link}/forwarding" for link in ["default", *sysctls.links(family)])
    return {path: value for path in own if (value := sysctls.read(path)) is not None}


def _load(record: Path) -> dict[str, Any]:
    text = files.read(record)
    stored = json.loads(text) if text else {}
    return stored["before"] if stored.get("boot") == host.boot_id() else {}


def _save(record: Path, before: dict[str, Any]) -> None:
    if before:
        files.write(record, json.dumps({"boot": host.boot_id(), "before": before}))
    else:
        record.unlink(missing_ok=True)
