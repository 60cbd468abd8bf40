"""Addresses and routes of one link, read into plain values and put onto another: what an uplink moves."""

import errno
from dataclasses import dataclass
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError

from networks.fabric import netlink

_KERNEL, _LOCAL_TABLE, _UNICAST = 2, 255, 1  # RTPROT_KERNEL, RT_TABLE_LOCAL, RTN_UNICAST
_NODAD, _PERMANENT, _NOPREFIXROUTE = 0x02, 0x80, 0x200
_KEPT_FLAGS = _NOPREFIXROUTE  # the others say what the kernel made of it
_ROUTE_ATTRIBUTES = ("priority", "prefsrc", "gateway", "table")


@dataclass(frozen=True)
class Gathered:
    """Plain values, as JSON keeps them."""

    addresses: list[dict[str, Any]]
    routes: list[dict[str, Any]]


def gather(ip: Any, index: int) -> Gathered:
    """Everything of the link but IPv6 link-local addresses and what the kernel adds by itself."""
    rows = [row for row in ip.get_routes() if row.get_attr("RTA_OIF") == index and _is_moved(row)]
    # Those without a gateway come first: the others need them.
    kept = sorted((_route(row) for row in rows), key=lambda row: "gateway" in row)
    return Gathered([_address(row) for row in netlink.addresses(ip, index)], kept)


def put(ip: Any, moved: Any, target: int, source: int | None) -> None:
    """Let the link `target` have them and `source` no more. What is so already is left alone."""
    here = gather(ip, target)
    for row in moved.addresses:
        if row["address"] not in {address["address"] for address in here.addresses}:
            more = {key: value for key, value in row.items() if key != "address"}
            netlink.add_address(ip, target, row["address"], **more)
    for row in moved.routes:
        if row not in here.routes:
            _put_route(ip, row, target, source)
    if source is not None:
        present = {address["address"] for address in gather(ip, source).addresses}
        for row in reversed(moved.addresses):  # a primary's end may take its secondaries along
            if row["address"] in present:
                netlink.remove_address(ip, source, row["address"])


def _is_moved(row: Any) -> bool:
    table = row.get_attr("RTA_TABLE") or row["table"]
    return bool(row["type"] == _UNICAST and row["proto"] != _KERNEL and table != _LOCAL_TABLE)


def _address(row: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"address": netlink.address_of(row), "scope": row["scope"]}
    flags = row.get_attr("IFA_FLAGS") or row["flags"]
    kept = flags & _KEPT_FLAGS
    if row["family"] == 10:
        kept |= _NODAD
    if kept:
        found["flags"] = kept
    if row.get_attr("IFA_BROADCAST"):
        found["broadcast"] = row.get_attr("IFA_BROADCAST")
    if row.get_attr("IFA_RT_PRIORITY"):
        found["rt_priority"] = row.get_attr("IFA_RT_PRIORITY")
    if not flags & _PERMANENT:
        times = row.get_attr("IFA_CACHEINFO")
        found |= {"preferred_lft": times["ifa_preferred"], "valid_lft": times["ifa_valid"]}
    return found


def _route(row: Any) -> dict[str, Any]:
    dst = row.get_attr("RTA_DST")
    found: dict[str, Any] = {
        "dst": f"{dst}/{row['dst_len']}" if dst else "default",
        "family": row["family"],
        "proto": row["proto"],
        "scope": row["scope"],
        "tos": row["tos"],
    }
    for name in _ROUTE_ATTRIBUTES:
        value = row.get_attr(f"RTA_{name.upper()}")
        if value:
            found[name] = value
    return found


def _put_route(ip: Any, row: dict[str, Any], target: int, source: int | None) -> None:
    if row["family"] == 2:
        ip.route("replace", oif=target, **row)  # of one destination and metric there is one, whatever its link
        return
    if source is not None:  # IPv6 has one of a destination and metric, too, but replaces it on its own link alone
        _forgiving(ip, "del", errno.ESRCH, oif=source, **row)
    _forgiving(ip, "add", errno.EEXIST, oif=target, **row)


def _forgiving(ip: Any, verb: str, code: int, **route: Any) -> None:
    try:
        ip.route(verb, **route)
    except NetlinkError as error:
        if error.code != code:
            raise
