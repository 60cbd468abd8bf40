"""The files of a network's dnsmasq as text: settings, reservations, names; and its leases read back. Pure; values are checked before.

Options are those of dnsmasq(8). Ranges are `static`: an address is given to a NIC of ours alone, so no guest drains a pool.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

from networks.fabric.base import Lease, Mode, NetworkPlan

_RA_SECONDS = 60  # between announcements; a guest's own question is answered at once
_ROUTER_SECONDS = 1800
_MOST_LEASES = 4096  # two for each of a bridge's 1,024 ports, and as many again
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True)
class Paths:
    """Where one network's dnsmasq reads and writes."""

    directory: Path

    @property
    def conf(self) -> Path:
        """Settings; naming this file on its command line is what makes a dnsmasq this network's."""
        return self.directory / "conf"

    @property
    def hosts(self) -> Path:
        """Names for DNS."""
        return self.directory / "hosts"

    @property
    def reservations(self) -> Path:
        """MAC → address."""
        return self.directory / "reservations"

    @property
    def own(self) -> Path:
        """The one directory that dnsmasq itself may write."""
        return self.directory / "own"

    @property
    def leases(self) -> Path:
        """Beside the pid, not in the state directory: after a reboot the reservations alone say who gets what."""
        return self.own / "leases"

    @property
    def pid(self) -> Path:
        """Written by dnsmasq once its sockets are open."""
        return self.own / "pid"


def is_needed(network: NetworkPlan) -> bool:
    """An uplink has DNS and, unless asked otherwise, DHCP from its own router."""
    return network.mode is not Mode.UPLINK or network.dhcp


def conf(network: NetworkPlan, paths: Paths) -> str:
    """The settings, one option a line."""
    lines = [
        f"interface={network.bridge}",
        "except-interface=lo",
        "bind-dynamic",
        "no-hosts",
        f"pid-file={paths.pid}",
        f"dhcp-leasefile={paths.leases}",
        f"dhcp-lease-max={_MOST_LEASES}",
        *_dns(network, paths.hosts),
        *_dhcp(network, paths.reservations),
        *_announcements(network),
    ]
    return "".join(f"{line}\n" for line in lines)


def reservations(network: NetworkPlan) -> str:
    """One line a NIC: MAC, addresses, name."""
    if not network.dhcp:
        return ""
    return "".join(
        ",".join([nic.mac, nic.address4, *([f"[{nic.address6}]"] if nic.address6 else []), nic.name]) + "\n" for nic in network.nics
    )


def hosts(network: NetworkPlan) -> str:
    """One line an address. The first name is what a reverse question gets."""
    lines = [(address, nic.name) for nic in network.nics for address in (nic.address4, nic.address6) if address]
    lines += [(address, name) for name, address in network.records]
    return "".join(f"{address} {_names(name, network.domain)}\n" for address, name in lines)


def leases(text: str) -> tuple[Lease, ...]:
    """The lease file's lines that are whole. Names come from guests where we gave none: what is no name is left out."""
    return tuple(lease for line in text.splitlines() if (lease := _lease(line)) is not None)


def stale(network: NetworkPlan, lease: Lease) -> bool:
    """Whether a lease stands against the reservations: dnsmasq would keep its address from the NIC that it is reserved for."""
    if not lease.mac:
        return lease.address not in {nic.address6 for nic in network.nics}
    return (lease.mac, lease.address) not in {(nic.mac, nic.address4) for nic in network.nics}


def reserved6(text: str) -> set[tuple[str, str]]:
    """(MAC, IPv6 address) of a file of reservations."""
    found = (re.match(r"([0-9a-f:]{17}),.*\[([0-9a-f:]+)\]", line, re.ASCII) for line in text.splitlines())
    return {(match[1], match[2]) for match in found if match}


def _dns(network: NetworkPlan, hosts: Path) -> Iterator[str]:
    if network.mode is Mode.UPLINK:
        yield "port=0"  # the router's network has a DNS already, and this one would answer to all of it
        return
    yield f"addn-hosts={hosts}"
    yield "domain-needed"
    for cidr in filter(None, (network.cidr4, network.cidr6)):
        yield f"rev-server={cidr}"  # no server named: reverse questions about these stay here
    if network.domain:
        yield f"domain={network.domain}"
        yield f"local=/{network.domain}/"
    if network.mode is Mode.ISOLATED or network.resolvers:
        yield "no-resolv"
    if network.mode is not Mode.ISOLATED:
        yield from (f"server={resolver}" for resolver in network.resolvers)


def _dhcp(network: NetworkPlan, reservations: Path) -> Iterator[str]:
    if not network.dhcp:
        return
    cidr = ip_network(network.cidr4)
    yield f"dhcp-range={cidr.network_address},static,{cidr.netmask},{network.lease_seconds}"
    yield f"dhcp-hostsfile={reservations}"
    yield "dhcp-ignore=tag:!known"
    yield "dhcp-ignore-clid"  # a client id is whatever a guest says, another's too; the filter holds its MAC to it
    yield "no-ping"  # the address is the NIC's alone; asking first costs 3 s
    yield from ("quiet-dhcp", "quiet-dhcp6")
    if network.mode is Mode.UPLINK:
        yield f"dhcp-option=option:router,{network.gateway4}"
        yield f"dhcp-option=option:dns-server,{','.join(_of_version(network.resolvers, 4)) or network.gateway4}"
    else:
        yield "dhcp-authoritative"  # on an uplink others answer too
    if network.mode is Mode.ISOLATED:
        yield "dhcp-option=option:router"  # empty: there is no way out
    yield f"dhcp-option=option:mtu,{network.mtu}"


def _announcements(network: NetworkPlan) -> Iterator[str]:
    """RA with the M flag and without the autonomous one: guests ask by DHCPv6 and make up no address of their own."""
    if not network.cidr6 or network.mode is Mode.UPLINK:
        return
    yield "enable-ra"
    yield "quiet-ra"
    yield f"dhcp-range={ip_network(network.cidr6).network_address},static,64,{network.lease_seconds}"
    lifetime = 0 if network.mode is Mode.ISOLATED else _ROUTER_SECONDS
    yield f"ra-param={network.bridge},mtu:{network.mtu},{_RA_SECONDS},{lifetime}"


def _names(name: str, domain: str) -> str:
    return f"{name}.{domain} {name}" if domain and "." not in name else name


def _of_version(addresses: tuple[str, ...], version: int) -> list[str]:
    return [address for address in addresses if (":" in address) == (version == 6)]


def _lease(line: str) -> Lease | None:
    fields = line.split(" ")
    if len(fields) != 5 or not re.fullmatch(r"[0-9]{1,12}", fields[0], re.ASCII):
        return None
    expires, hardware, address, name, _ = fields
    try:
        is_v6 = isinstance(IPv6Address(address) if ":" in address else IPv4Address(address), IPv6Address)
    except ValueError:
        return None
    if not is_v6 and not _MAC.fullmatch(hardware):
        return None
    return Lease("" if is_v6 else hardware, address, name if _NAME.fullmatch(name) else "", float(expires) or None)
