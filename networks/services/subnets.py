"""Which addresses a network gets: given ones are judged, the others are chosen. Called by networks.services under the host's lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any

from networks.addressing import (
    AddressingError,
    Subnet4,
    Subnet6,
    address6_for,
    first_free_subnet,
    new_ula,
    parse_cidr4,
    parse_cidr6,
    parse_pool,
    refuse_overlap,
    refuse_public,
    refuse_reserved,
)
from networks.models import Network, Nic
from opsweb.core.errors import Conflict, Invalid, Refusal
from opsweb.core.models import Host
from opsweb.environment import env

LEAST_ROUTE = 8  # a prefix length; what is shorter (0.0.0.0/1 of a VPN) is half a default route and meets everything
AUTO = "auto"  # as cidr6: a prefix of one's own is made up


@contextmanager
def said(field: str) -> Iterator[None]:
    """AddressingErrors become refusals about `field`."""
    try:
        yield
    except AddressingError as error:
        raise refusal_of(error, field) from error


def refusal_of(error: AddressingError, field: str) -> Refusal:
    """What takes is a conflict, what can't be is invalid."""
    kind = Conflict if error.code in ("overlap", "no_address_left", "no_subnet_left") else Invalid
    return kind(error.message, code=error.code, fields={field: [error.message]})


def place4(network: Network, cidr4: str, host: Host, *, is_admin: bool) -> None:
    """Give it the subnet `cidr4`; "": the first free /24. Raises: Invalid, Conflict("overlap") that names what it meets."""
    met = list(neighbours(network, host))
    with said("cidr4"):
        if not cidr4 and network.mode == Network.Mode.UPLINK:
            raise Invalid("An uplink needs its subnet, with the router's address: 192.168.1.1/24.", fields={"cidr4": ["missing"]})
        subnet = parse_cidr4(cidr4) if cidr4 else first_free_subnet([cidr for cidr, _ in met])
        _refuse(subnet, network, met, is_admin)
    if network.cidr4 != str(subnet.network):
        network.dhcp_first = network.dhcp_last = None
    network.cidr4, network.gateway4 = str(subnet.network), str(subnet.gateway)


def place6(network: Network, cidr6: str, host: Host, *, is_admin: bool) -> None:
    """Give it the prefix `cidr6`; "auto": one of its own is made up; "": no IPv6."""
    if not cidr6:
        network.cidr6, network.gateway6 = "", None
        return
    with said("cidr6"):
        subnet = new_ula() if cidr6 == AUTO else parse_cidr6(cidr6)
        _refuse(subnet, network, list(neighbours(network, host)), is_admin)
    network.cidr6, network.gateway6 = str(subnet.network), str(subnet.gateway)


def _refuse(subnet: Subnet4 | Subnet6, network: Network, met: list[tuple[str, str]], is_admin: bool) -> None:
    refuse_reserved(subnet.network, uplink=network.mode == Network.Mode.UPLINK)
    if not is_admin:
        refuse_public(subnet.network)
    refuse_overlap(subnet.network, met)


def set_pool(network: Network, first: str | None, last: str | None) -> None:
    """The range that addresses are given out of; ("", "") for the default. Raises: Invalid."""
    if first is None and last is None:
        return
    if not first and not last:
        network.dhcp_first = network.dhcp_last = None
        return
    with said("dhcp_first"):
        pool = parse_pool(network.subnet4, first or "", last or "")
    network.dhcp_first, network.dhcp_last = str(pool[0]), str(pool[1])


def neighbours(network: Network, host: Host) -> Iterator[tuple[str, str]]:
    """(CIDR or address, what it is) of all that a network of this host may not meet. A stranger's is not named (INV-15)."""
    for other in Network.objects.filter(host=host).exclude(pk=network.pk):
        what = f"network {other.name}" if other.team_id == network.team_id else "another team's network"
        yield other.cidr4, what
        if other.cidr6:
            yield other.cidr6, what
    facts: dict[str, Any] = host.network_facts
    own = network.adapter if network.mode == Network.Mode.UPLINK else ""
    for cidr, link in facts.get("routes", ()):
        if link != own and ip_network(cidr).prefixlen >= LEAST_ROUTE:
            yield cidr, f"the host's route over {link}"
    for adapter in facts.get("adapters", ()):
        if adapter["name"] != own:
            yield from ((address, f"the host's adapter {adapter['name']}") for address in adapter["addresses"])
    if not own:
        yield from ((address, "the host's name server") for address in facts.get("resolvers", ()))
        # Reached by the default route, it is in no route above; a guest there would be asked in its place.
        yield from ((name, "the panel's own database or redis") for name, _ in env.backends if _is_outside(name))


def _is_outside(name: str) -> bool:
    try:
        return not ip_address(name).is_loopback
    except ValueError:
        return False


def readdress6(network: Network) -> None:
    """After IPv6 came or went: an IPv6 address for each of its NICs, or none."""
    nics = list(network.nics.order_by("address4"))
    network.nics.update(address6=None)
    taken = set[str]()
    for nic in nics:
        if address6 := free6(network, nic, taken):
            taken.add(address6)
            Nic.objects.filter(pk=nic.pk).update(address6=address6)


def free6(network: Network, nic: Nic, taken: set[str]) -> str | None:
    """The IPv6 address that goes with the NIC's IPv4 one; None on a network without IPv6."""
    if network.subnet6 is None or nic.address4 is None:
        return None
    return str(address6_for(network.subnet6, network.subnet4, IPv4Address(nic.address4), taken | network.recorded(6)))
