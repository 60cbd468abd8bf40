"""Why a link of the host cannot become an uplink: looked at before anything is touched."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from networks.fabric import host, names, netlink, routes, sysctls

_UNFIT_KINDS = ("bridge", "bond", "tun", "wireguard", "macvlan", "ipvlan", "sit", "gre", "vxlan")
_UNICAST = 1  # RTN_UNICAST
_MOVED = frozenset(
    f"RTA_{name}"
    for name in "DST SRC OIF GATEWAY VIA PRIORITY PREFSRC METRICS MULTIPATH FLOW CACHEINFO TABLE PREF".split()  # noqa: SIM905
)
_MOVED_HOP = frozenset(("RTA_GATEWAY", "RTA_VIA", "RTA_FLOW"))


def reasons(ip: Any, adapter: Any) -> list[str]:
    """Parts of a sentence, one for each thing in the way; [] when the adapter can become a port without harm."""
    unfit = _unfit(adapter)
    if unfit:
        return [unfit]
    found = (*_of_routes(ip, adapter), *_of_rules(ip, adapter), *_of_advertisements(ip, adapter))
    return list(dict.fromkeys(found))


def _unfit(adapter: Any) -> str:
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


def _of_routes(ip: Any, adapter: Any) -> Iterator[str]:
    links = {row["index"]: row.get_attr("IFLA_IFNAME") for row in ip.get_links()}
    keys = Counter(_key(row) for row in ip.get_routes() if row["family"] != routes.V6)
    for row in routes.of_link(ip, adapter["index"]):
        to = f"{row.get_attr('RTA_DST')}/{row['dst_len']}" if row.get_attr("RTA_DST") else "everywhere"
        others = [links.get(link, "") for link in routes.links_of(row)]
        if not _is_plain(row):
            yield f"the route to {to} is one of a kind that cannot move (a nexthop object, a tunnel, no unicast). Make it a plain route"
        elif any(names.is_bridge(name, name[2:6]) for name in others):
            yield f"the route to {to} leads over another uplink too. Make it two routes with different metrics"
        elif row["family"] != routes.V6 and keys[_key(row)] > 1:
            yield f"there are several routes to {to} with the same metric. Give each a metric of its own"


def _is_plain(row: Any) -> bool:
    """Whether nothing of it would be lost. pyroute2 calls an attribute that it does not know UNKNOWN."""
    metrics, hops = row.get_attr("RTA_METRICS"), row.get_attr("RTA_MULTIPATH") or ()
    return (
        row["type"] == _UNICAST
        and {name for name, _ in row["attrs"]} <= _MOVED
        and all(name.startswith("RTAX_") for name, _ in (metrics["attrs"] if metrics else ()))
        and all({name for name, _ in hop["attrs"]} <= _MOVED_HOP for hop in hops)
    )


def _key(row: Any) -> tuple[Any, ...]:
    """What IPv4 takes for one route when it replaces one."""
    table = row.get_attr("RTA_TABLE") or row["table"]
    return (row.get_attr("RTA_DST"), row["dst_len"], row["tos"], row.get_attr("RTA_PRIORITY"), table)


def _of_rules(ip: Any, adapter: Any) -> Iterator[str]:
    name = adapter.get_attr("IFLA_IFNAME")
    if any(name in (rule.get_attr("FRA_IIFNAME"), rule.get_attr("FRA_OIFNAME")) for rule in ip.get_rules()):
        yield "a routing rule (ip rule) names it, which would fit nothing any more. Let the rule name addresses"


def _of_advertisements(ip: Any, adapter: Any) -> Iterator[str]:
    """What the kernel did not learn by itself it will not learn on the bridge."""
    settings = f"ipv6/conf/{adapter.get_attr('IFLA_IFNAME')}"
    heeded = {"1": sysctls.read(f"{settings}/forwarding") == "0", "2": True}.get(sysctls.read(f"{settings}/accept_ra") or "", False)
    if not heeded and routes.gather(ip, adapter["index"]).is_advertised():
        yield (
            "a program of the host learned its IPv6 by router advertisement, and nobody would renew it on the bridge. "
            "Configure it statically, or let the kernel learn it (accept_ra)"
        )
