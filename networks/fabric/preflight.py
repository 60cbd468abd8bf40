"""What would break a network on this host, or what the network would break: looked at before anything is touched."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any

from networks.fabric import dnsmasq, dnsmasq_text, findings, fitness, forwarding, host, links, netlink, nft, sysctls
from networks.fabric.base import FabricError, Finding, Mode, NetworkPlan

_BRIDGE_NETFILTER = "bridge/bridge-nf-call-iptables"  # there as soon as br_netfilter is
_LEGACY = Path("/usr/sbin/iptables-legacy")
_LIMIT = "table inet owprobe {\n\tchain probe {\n\t\tct count over 1 drop\n\t}\n}\n"  # looked at by nft, made by nobody
_DHCP, _PERMANENT = 16, 0x80  # RTPROT_DHCP, IFA_F_PERMANENT
_SECONDS = 10


def look(network: NetworkPlan, installation: str) -> tuple[Finding, ...]:
    """All findings, fatal ones first."""
    found = [*_tools(network), *_forward_policies(), *findings.of_host(network, host.network(installation))]
    if network.mode is Mode.NAT and network.cidr6:
        found += _advertised()
    if network.mode is Mode.UPLINK:
        found += _uplink(network)
    return tuple(sorted(found, key=lambda finding: not finding.fatal))


def need_bridge_netfilter() -> None:
    """Load br_netfilter where it is a module. Raises: FabricError("no_bridge_netfilter")."""
    if sysctls.read(_BRIDGE_NETFILTER) is None:
        _modprobe()
    if sysctls.read(_BRIDGE_NETFILTER) is None:
        raise FabricError("no_bridge_netfilter", "The kernel has no br_netfilter, so no rule could hold between guests. Load that module.")


def _modprobe(*options: str) -> bool:
    with suppress(OSError, subprocess.TimeoutExpired):
        command = ["/usr/sbin/modprobe", "-q", *options, "br_netfilter"]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False).returncode == 0
    return False


def _tools(network: NetworkPlan) -> Iterator[Finding]:
    if not nft.NFT.exists():
        yield Finding("no_nft", f"{nft.NFT} is not there. Install Debian's package nftables.", fatal=True)
    elif not nft.takes(_LIMIT):
        yield Finding(
            "no_connection_limit", "The kernel has no nft_connlimit, so one guest could use up the host's connections.", fatal=True
        )
    if dnsmasq_text.is_needed(network) and not dnsmasq.DNSMASQ.exists():
        yield Finding("no_dnsmasq", f"{dnsmasq.DNSMASQ} is not there. Install Debian's package dnsmasq-base.", fatal=True)
    if sysctls.read(_BRIDGE_NETFILTER) is None and not _modprobe("--dry-run"):
        yield Finding("no_bridge_netfilter", "The kernel has no br_netfilter, so no rule could hold between guests.", fatal=True)


def _forward_policies() -> Iterator[Finding]:
    """A packet must pass every chain of the hook, so an accept of ours does not help against another's drop."""
    for chain in nft.chains():
        if chain.get("hook") == "forward" and chain.get("policy") == "drop" and chain["family"] in ("ip", "ip6", "inet"):
            where = f"chain {chain['name']} of nft table {chain['family']} {chain['table']}"
            yield Finding("foreign_forward_drop", f"{_clean(where)} drops forwarded packets. {_REMEDY}")
    if _legacy_drops():
        yield Finding("foreign_forward_drop", f"The chain FORWARD of iptables-legacy drops forwarded packets. {_REMEDY}")


_REMEDY = (
    "It belongs to Docker, ufw or another firewall, and packets of guests will be lost in it. "
    "Let it accept what comes from and goes to ow*, e.g. with Docker: iptables -I DOCKER-USER -i ow+ -j ACCEPT, and the same with -o."
)


def _legacy_drops() -> bool:
    tables = Path("/proc/net/ip_tables_names")
    with suppress(OSError, subprocess.TimeoutExpired):
        if "filter" not in tables.read_text().split():  # asking would load the table
            return False
        done = subprocess.run([_LEGACY, "-S", "FORWARD"], capture_output=True, text=True, timeout=_SECONDS, check=False)
        return done.stdout.startswith("-P FORWARD DROP")
    return False


def _advertised() -> Iterator[Finding]:
    if sysctls.read(forwarding.V6) == "0":
        for link in forwarding.heedless():
            message = f"The host has its IPv6 route through {link} by router advertisement. accept_ra becomes 2 there, so that it stays."
            yield Finding("would_lose_ra_route", message)


def _uplink(network: NetworkPlan) -> Iterator[Finding]:
    with netlink.opened("tell about the adapter") as ip:
        adapter = netlink.link(ip, network.adapter)
        if adapter is None:
            return
        bridge = links.read(ip, network.bridge)
        if bridge is not None and adapter.get_attr("IFLA_MASTER") == bridge.index:
            return  # it is the uplink already
        reasons = fitness.reasons(ip, adapter)
        addresses = netlink.addresses(ip, adapter["index"])
        protocols = {row["proto"] for row in ip.get_routes() if row.get_attr("RTA_OIF") == adapter["index"]}
    for reason in reasons:
        yield Finding("would_cut_off", f"{network.adapter} cannot become an uplink: {reason}.", fatal=True)
    own = [ip_interface(netlink.address_of(row)).ip for row in addresses]
    if network.dhcp and not any(address in ip_network(network.cidr4) for address in own):
        message = f"DHCP needs an address of the host in {network.cidr4}, and {network.adapter} has none. Switch DHCP off or give it one."
        yield Finding("uplink_without_address", message, fatal=True)
    manager = _manager(adapter["index"], addresses, protocols)
    if manager:
        message = (
            f"{network.adapter} is configured by {manager}, which may take the addresses back from the bridge. Configure it statically."
        )
        yield Finding("adapter_managed", message)


def _manager(index: int, addresses: list[Any], protocols: set[int]) -> str:
    if Path(f"/run/NetworkManager/devices/{index}").exists():
        return "NetworkManager"
    if Path(f"/run/systemd/netif/links/{index}").exists():
        return "systemd-networkd"
    passing = [row for row in addresses if not (row.get_attr("IFA_FLAGS") or row["flags"]) & _PERMANENT]
    leased = any(row["family"] == 2 or row["prefixlen"] == 128 for row in passing)  # the kernel's own IPv6 ones are /64
    return "a DHCP client" if leased or _DHCP in protocols else ""


def _clean(text: str) -> str:
    return "".join(char for char in text if char.isprintable())[:200]
