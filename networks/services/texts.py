"""What people may write into a network's texts: each ends up as one word of one line of dnsmasq's files (SEC-D1, SEC-G2).

Called by networks.services, and by the worker once more before it acts on a row (SEC-F2).
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from networks.models import NAME, Network
from opsweb.core.errors import Invalid

MAX_RESOLVERS = 8
MAX_RECORDS = 200
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"  # RFC 1123, 2.1; lower case, as names of instances are
DOMAIN = re.compile(rf"(?=.{{1,120}}\Z){LABEL}(\.{LABEL})*", re.ASCII)
OWN_DOMAINS = ("local", "localhost")  # mDNS's (RFC 6762) and the guest's own


def check_name(name: str) -> None:
    """Raises: Invalid unless it is a name of ours (INV-11)."""
    if not isinstance(name, str) or not re.match(NAME.regex, name):
        raise Invalid(f"“{str(name)[:60]}” is no name. {NAME.message}", fields={"name": [str(NAME.message)]})


def canonical(address: str) -> str:
    """An address as programs write it. Raises: Invalid."""
    return str(_address("address", address))


def check_texts(network: Network) -> None:
    """Domain, resolvers, records. Raises: Invalid."""
    check_name(network.name)
    if network.domain:
        _check_domain(network.domain)
    _check_resolvers(network.resolvers)
    _check_records(network.records)


def _check_domain(domain: str) -> None:
    if not DOMAIN.fullmatch(domain) or domain in OWN_DOMAINS:
        raise Invalid(f"“{domain[:60]}” is no DNS domain for a network. Write it as dev.example.", fields={"domain": [domain[:60]]})


def _check_resolvers(resolvers: Iterable[str]) -> None:
    if not isinstance(resolvers, list | tuple) or len(resolvers) > MAX_RESOLVERS:
        raise Invalid(f"At most {MAX_RESOLVERS} resolvers are taken.", fields={"resolvers": ["too many"]})
    for resolver in resolvers:
        address = _address("resolvers", resolver)
        if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved:
            raise Invalid(f"{address} can't be a resolver: guests would ask the host itself.", fields={"resolvers": [str(address)]})


def _check_records(records: object) -> None:
    if not isinstance(records, dict) or len(records) > MAX_RECORDS:
        raise Invalid(f"At most {MAX_RECORDS} records are taken.", fields={"records": ["too many"]})
    for name, address in records.items():
        if not DOMAIN.fullmatch(name):
            raise Invalid(
                f"“{name[:60]}” is no host name. Use lower-case letters, digits, hyphens and dots.", fields={"records": [name[:60]]}
            )
        found = _address("records", address)
        if found.is_multicast or found.is_unspecified:
            raise Invalid(f"{found} is no machine's address.", fields={"records": [str(found)]})


def _address(field: str, text: object) -> IPv4Address | IPv6Address:
    try:
        address = ip_address(str(text))
    except ValueError as error:
        raise Invalid(f"“{str(text)[:60]}” is no IP address.", fields={field: [str(text)[:60]]}) from error
    if "%" in str(address):
        raise Invalid(f"{address} has a zone; write the address alone.", fields={field: [str(address)]})
    return address
