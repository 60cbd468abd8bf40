"""Addresses and routes of one link, read into plain values and put onto another: what an uplink moves.

What the kernel keeps for a time only, above all what it learned by router advertisement (RFC 4861), moves for as long as it would have
lived, and the kernel learns it anew on the other link. Of routes with several hops those over other links stay what they are.
"""

import errno
import struct
from dataclasses import dataclass, field, replace
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError

from networks.fabric import netlink

V6 = 10  # AF_INET6
RA = 9  # RTPROT_RA
_KERNEL, _LOCAL_TABLE, _UNICAST = 2, 255, 1  # RTPROT_KERNEL, RT_TABLE_LOCAL, RTN_UNICAST
_NODAD, _PERMANENT, _MANAGED, _NOPREFIXROUTE = 0x02, 0x80, 0x100, 0x200
_KEPT_FLAGS = _NOPREFIXROUTE | _MANAGED  # the others say what the kernel made of it
_ONLINK = 4  # RTNH_F_ONLINK; the others say how the hop is
_TICKS = 100  # USER_HZ, in which the kernel counts what is left of a route
_OWN = 0  # a hop over the link itself; others have their link's index
_HOP_ATTRIBUTES = ("gateway", "via", "flow")
_ROUTE_ATTRIBUTES = (*_HOP_ATTRIBUTES, "priority", "prefsrc", "table", "pref")


@dataclass(frozen=True)
class Gathered:
    """Plain values, as JSON keeps them. `passing`: routes with an end; addresses with one are among the others."""

    addresses: list[dict[str, Any]]
    routes: list[dict[str, Any]]
    passing: list[dict[str, Any]] = field(default_factory=list)

    def lasting(self) -> "Gathered":
        """Without what the kernel ends and renews by itself."""
        return Gathered([row for row in self.addresses if not _passes(row)], self.routes)

    def is_advertised(self) -> bool:
        """Whether some of it was learned by router advertisement."""
        return any(row["proto"] == RA for row in self.passing) or any(map(_passes, self.addresses))

    def as_now(self, now: "Gathered") -> "Gathered":
        """The same where `now` is what the link has: what passes, and hops over other links, as they are by now."""
        routes = [next((other for other in now.routes if "hops" in row and _same(row, other)), row) for row in self.routes]
        return Gathered([*self.lasting().addresses, *(row for row in now.addresses if _passes(row))], routes, now.passing)


def gather(ip: Any, index: int) -> Gathered:
    """Everything of the link but IPv6 link-local addresses and what the kernel adds by itself."""
    found = [_route(row, index) for row in of_link(ip, index) if row["type"] == _UNICAST]
    # Those without a gateway come first: the others need them.
    rows = sorted((row for several in found for row in several), key=lambda row: not row.keys().isdisjoint(("gateway", "via", "hops")))
    name = ip.link("get", index=index)[0].get_attr("IFLA_IFNAME")
    addresses = [_address(row, name) for row in netlink.addresses(ip, index)]
    return Gathered(addresses, [row for row in rows if "expires" not in row], [row for row in rows if "expires" in row])


def of_link(ip: Any, index: int) -> list[Any]:
    """The kernel's rows of all routes that a hop of leads over the link, without those that come and go with an address."""
    return [row for row in ip.get_routes() if index in links_of(row) and _is_moved(row)]


def links_of(row: Any) -> set[int]:
    """Indexes of the links that the route leads over."""
    hops = row.get_attr("RTA_MULTIPATH")
    return {hop["oif"] for hop in hops} if hops else {row.get_attr("RTA_OIF")}


def holds(row: dict[str, Any], present: list[dict[str, Any]]) -> bool:
    """Whether the route is among those present; of several hops those over the link itself count."""
    return row in present or ("hops" in row and any(_same(row, other) for other in present))


def put(ip: Any, moved: Gathered, target: int, source: int | None) -> None:
    """Let the link `target` have them and `source` no more. What is so already is left alone."""
    here = gather(ip, target)
    for row in moved.addresses:
        if row["address"] not in {address["address"] for address in here.addresses}:
            netlink.add_address(ip, target, **row)
    for row in moved.routes:
        if not holds(row, here.routes):
            _put_route(ip, row, target, source)
    for row in moved.passing:
        if not any(_is_better(other, row) for other in (*moved.passing, *here.passing)):
            _forgiving(ip, "append", errno.EEXIST, **_interim(row), oif=target)
    if source is not None:
        left = gather(ip, source)
        for row in left.passing:
            _forgiving(ip, "del", errno.ESRCH, oif=source, **_asked(row))
        present = {address["address"] for address in left.addresses}
        for row in reversed(moved.addresses):  # a primary's end may take its secondaries along
            if row["address"] in present:
                netlink.remove_address(ip, source, row["address"], row.get("peer", ""))


def shortened(moved: Gathered, seconds: int) -> Gathered:
    """The same, so many seconds later."""
    addresses = [_older(row, seconds) for row in moved.addresses]
    passing = [{**row, "expires": row["expires"] - seconds} for row in moved.passing]
    kept = [row for row in addresses if not _passes(row) or row["valid_lft"] > 0]
    return replace(moved, addresses=kept, passing=[row for row in passing if row["expires"] > 0])


def _is_moved(row: Any) -> bool:
    """What the kernel adds for an address goes with that; what it adds for an advertised prefix has an end."""
    table = row.get_attr("RTA_TABLE") or row["table"]
    return bool((row["proto"] != _KERNEL or _expires(row)) and table != _LOCAL_TABLE)


def _expires(row: Any) -> int:
    """Seconds that are left of an IPv6 route; 0: it stays."""
    times = row.get_attr("RTA_CACHEINFO") if row["family"] == V6 else None
    return max(1, times["rta_expires"] // _TICKS) if times and times["rta_expires"] else 0


def _address(row: Any, link: str) -> dict[str, Any]:
    found: dict[str, Any] = {"address": netlink.address_of(row), "scope": row["scope"]}
    flags = row.get_attr("IFA_FLAGS") or row["flags"]
    kept = flags & _KEPT_FLAGS
    if row["family"] == V6:
        kept |= _NODAD
    if kept:
        found["flags"] = kept
    local, peer = row.get_attr("IFA_LOCAL"), row.get_attr("IFA_ADDRESS")
    if local and peer != local:
        found["peer"] = peer
    for name in ("broadcast", "label", "rt_priority"):
        value = row.get_attr(f"IFA_{name.upper()}")
        if value and value != link:
            found[name] = value
    if not flags & _PERMANENT:
        times = row.get_attr("IFA_CACHEINFO")
        found |= {"preferred_lft": times["ifa_preferred"], "valid_lft": times["ifa_valid"]}
    return found


def _passes(address: dict[str, Any]) -> bool:
    """Whether the kernel made it up for an advertised prefix. One by DHCPv6 is whole: nobody renews it on the other link."""
    return ":" in address["address"] and "valid_lft" in address and not address["address"].endswith("/128")


def _older(address: dict[str, Any], seconds: int) -> dict[str, Any]:
    if not _passes(address):
        return address
    return {**address, "valid_lft": address["valid_lft"] - seconds, "preferred_lft": max(0, address["preferred_lft"] - seconds)}


def _route(row: Any, index: int) -> list[dict[str, Any]]:
    """One; of an IPv6 route one for each hop over the link, because the kernel keeps each by itself."""
    dst, src = row.get_attr("RTA_DST"), row.get_attr("RTA_SRC")
    found: dict[str, Any] = {
        "dst": f"{dst}/{row['dst_len']}" if dst else "default",
        "family": row["family"],
        "proto": row["proto"],
        "scope": row["scope"],
        "tos": row["tos"],
    }
    if src:
        found["src"] = f"{src}/{row['src_len']}"
    if row["flags"] & _ONLINK:
        found["flags"] = _ONLINK
    found |= _attributes(row, _ROUTE_ATTRIBUTES)
    if metrics := row.get_attr("RTA_METRICS"):
        found["metrics"] = {name.removeprefix("RTAX_").lower(): value for name, value in metrics["attrs"]}
    if expires := _expires(row):
        found["expires"] = expires
    hops = [_hop(hop, index) for hop in row.get_attr("RTA_MULTIPATH") or ()]
    if row["family"] != V6:
        return [found | ({"hops": hops} if hops else {})]
    own = ({name: value for name, value in hop.items() if name != "oif"} for hop in hops if hop["oif"] == _OWN)
    return [found | hop for hop in own] if hops else [found]


def _hop(hop: Any, index: int) -> dict[str, Any]:
    found: dict[str, Any] = {"oif": _OWN if hop["oif"] == index else hop["oif"]}
    if hop["hops"]:
        found["weight"] = hop["hops"] + 1
    if hop["flags"] & _ONLINK:
        found["flags"] = _ONLINK
    return found | _attributes(hop, _HOP_ATTRIBUTES)


def _attributes(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    found = ((name, row.get_attr(f"RTA_{name.upper()}")) for name in names)
    return {name: value for name, value in found if value}


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether they are one route of IPv4, and have the same hops over the link."""
    names = ("dst", "family", "tos", "priority", "table")
    return all(one.get(name) == other.get(name) for name in names) and _own_hops(one) == _own_hops(other)


def _own_hops(row: dict[str, Any]) -> list[list[Any]]:
    hops = row.get("hops") or [{**row, "oif": _OWN}]  # the kernel says it so when one is left
    return [[hop.get(name) for name in _HOP_ATTRIBUTES] for hop in hops if hop["oif"] == _OWN]


def _is_better(one: dict[str, Any], other: dict[str, Any]) -> bool:
    names = ("dst", "gateway", "table", "proto")
    return all(one.get(name) == other.get(name) for name in names) and one["priority"] < other["priority"]


def _interim(row: dict[str, Any]) -> dict[str, Any]:
    """A route as good, until the kernel has heard the router on the other link.

    Behind the one that it then makes, whose place must be free: it heeds no advertisement of a router that somebody else's route leads to.
    """
    asked = _asked(row) | {"expires": struct.pack("=I", row["expires"])}
    return asked | ({"priority": row["priority"] + 1} if row["proto"] == RA else {})


def _asked(row: dict[str, Any]) -> dict[str, Any]:
    """As pyroute2 takes a route without its link."""
    return {name: value for name, value in row.items() if name not in ("hops", "weight", "expires")}


def _asked_hop(hop: dict[str, Any], link: int) -> dict[str, Any]:
    attributes = [(f"RTA_{name.upper()}", hop[name]) for name in _HOP_ATTRIBUTES if name in hop]
    return {"oif": hop.get("oif") or link, "hops": hop.get("weight", 1) - 1, "flags": hop.get("flags", 0), "attrs": attributes}


def _put_route(ip: Any, row: dict[str, Any], target: int, source: int | None) -> None:
    if row["family"] != V6:
        ip.route("replace", **_asked(row), **_way(ip, row, target))  # there is one of a destination and metric: see `fitness`
        return
    if source is not None:  # IPv6 replaces a route on its own link alone
        _forgiving(ip, "del", errno.ESRCH, oif=source, **_asked(row))
    asked = _asked(row)
    way: dict[str, Any] = {"oif": target}
    if "weight" in row:
        asked = {name: value for name, value in asked.items() if name not in (*_HOP_ATTRIBUTES, "flags")}
        way = {"multipath": [_asked_hop(row, target)]}
    _forgiving(ip, "append", errno.EEXIST, **asked, **way)  # beside the hops over other links


def _way(ip: Any, row: dict[str, Any], target: int) -> dict[str, Any]:
    if "hops" not in row:
        return {"oif": target}
    up = {link["index"] for link in ip.get_links() if link["flags"] & netlink.UP}
    return {"multipath": [_asked_hop(hop, target) for hop in row["hops"] if hop["oif"] == _OWN or hop["oif"] in up]}


def _forgiving(ip: Any, verb: str, code: int, **route: Any) -> None:
    try:
        ip.route(verb, **route)
    except NetlinkError as error:
        if error.code != code:
            raise
