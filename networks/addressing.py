"""Addresses of networks: how people write them, what they may not meet, and which one is next. Pure."""

import re
import secrets
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network, ip_network

from networks.fabric.guard import METADATA_V4, METADATA_V6

Net = IPv4Network | IPv6Network

LARGEST4, SMALLEST4 = 8, 29  # prefix lengths; a /29 has room for five guests
PREFIX6 = 64  # what DHCPv6 and router advertisements of one link go with (RFC 4291, 2.5.1)
MAX_NICS = 8  # of one instance; each position has a user-mode network of its own
FIRST_CHOICE = IPv4Network("192.168.33.0/24")  # OPS's own default
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")  # RFC 1918, 6598, 4193

_CIDR = re.compile(r"[0-9a-fA-F.:]{2,45}/[0-9]{1,3}", re.ASCII)
_SHOWN = 60  # characters of a person's text that an error repeats


class AddressingError(ValueError):
    """An address that can't be used. `code` is stable and for programs; `message` says what to write in its place.

    Codes: "bad_cidr", "bad_address", "bad_range", "no_room", "reserved_range", "not_private", "overlap", "no_address_left",
    "no_subnet_left".
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Subnet4:
    """A network's IPv4 side: its range, and the address of its gateway in it."""

    network: IPv4Network
    gateway: IPv4Address

    def holds(self, address: IPv4Address) -> bool:
        """Whether a guest may have it: inside, and neither the network's, the broadcast's nor the gateway's."""
        ends = (self.network.network_address, self.network.broadcast_address, self.gateway)
        return address in self.network and address not in ends


@dataclass(frozen=True)
class Subnet6:
    """A network's IPv6 side."""

    network: IPv6Network
    gateway: IPv6Address

    def holds(self, address: IPv6Address) -> bool:
        """Whether a guest may have it: inside, and neither the routers' anycast address (RFC 4291, 2.6.1) nor the gateway's."""
        return address in self.network and address not in (self.network.network_address, self.gateway)


def parse_cidr4(text: str) -> Subnet4:
    """Read "192.168.33.1/24" (the gateway's address) or "192.168.33.0/24" (the first address becomes the gateway's).

    Raises: AddressingError("bad_cidr", "no_room").
    """
    try:
        interface = IPv4Interface(_cidr(text))
    except ValueError as error:
        raise AddressingError("bad_cidr", f"{_quoted(text)} is no IPv4 network. Write it as 192.168.33.1/24.") from error
    network = interface.network
    if network.prefixlen < LARGEST4:
        raise AddressingError("bad_cidr", f"{network} is too large. Take a prefix length from /{LARGEST4} to /{SMALLEST4}, such as /24.")
    if network.prefixlen > SMALLEST4:
        message = f"{network} leaves no room for guests. Take a prefix length from /{LARGEST4} to /{SMALLEST4}, such as /24."
        raise AddressingError("no_room", message)
    if interface.ip == network.broadcast_address:
        raise AddressingError("bad_cidr", f"{interface.ip} is the broadcast address of {network}. Take another one for the gateway.")
    gateway = network.network_address + 1 if interface.ip == network.network_address else interface.ip
    return Subnet4(network, gateway)


def parse_cidr6(text: str) -> Subnet6:
    """Read "fd12:3456:789a::1/64" or "fd12:3456:789a::/64" (::1 becomes the gateway's). Raises: AddressingError("bad_cidr")."""
    try:
        interface = IPv6Interface(_cidr(text))
    except ValueError as error:
        raise AddressingError("bad_cidr", f"{_quoted(text)} is no IPv6 network. Write it as fd12:3456:789a::/64.") from error
    network = interface.network
    if network.prefixlen != PREFIX6:
        raise AddressingError(
            "bad_cidr", f"{network} has the prefix length /{network.prefixlen}; an IPv6 network of guests has /{PREFIX6}."
        )
    gateway = network.network_address + 1 if interface.ip == network.network_address else interface.ip
    return Subnet6(network, IPv6Address(int(gateway)))


def _cidr(text: str) -> str:
    if not _CIDR.fullmatch(text.strip()):
        raise ValueError(text)
    return text.strip()


RESERVED: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "addresses that mean “this network”"),
    ("127.0.0.0/8", "the loopback addresses"),
    ("169.254.0.0/16", "the link-local addresses, where clouds keep their metadata"),
    ("224.0.0.0/4", "the multicast addresses"),
    ("240.0.0.0/4", "reserved addresses"),
    ("::/8", "IPv6's special addresses, loopback among them"),
    ("fe80::/10", "the link-local addresses"),
    ("ff00::/8", "the multicast addresses"),
    *((cidr, "a cloud's metadata service") for cidr in (*METADATA_V4, *METADATA_V6)),
)
USER_MODE: tuple[tuple[str, str], ...] = tuple((f"10.0.{2 + n}.0/24", "the user-mode networks of guests") for n in range(MAX_NICS))


def refuse_reserved(network: Net, *, uplink: bool = False) -> None:
    """Raises: AddressingError("reserved_range") that says what `network` meets. An uplink's addresses are not ours to choose."""
    for cidr, what in RESERVED if uplink else (*RESERVED, *USER_MODE):
        if _overlap(network, ip_network(cidr)):
            raise AddressingError("reserved_range", f"{network} meets {cidr}, {what}. Take another range, such as {FIRST_CHOICE}.")


def refuse_public(network: Net) -> None:
    """Raises: AddressingError("not_private") for addresses of the Internet: the host would find those no more."""
    if not any(_overlap(network, home) and network.prefixlen >= home.prefixlen for home in map(ip_network, PRIVATE)):
        message = f"{network} belongs to the Internet; only an admin may use it. Take a private range, such as {FIRST_CHOICE}."
        raise AddressingError("not_private", message)


def refuse_overlap(network: Net, others: Iterable[tuple[str, str]]) -> None:
    """`others`: (CIDR or address, what it is, for people). Raises: AddressingError("overlap") that names the first it meets."""
    for cidr, what in others:
        if _overlap(network, ip_network(cidr, strict=False)):
            raise AddressingError("overlap", f"{network} meets {cidr} of {what}. Take another range.")


def _overlap(one: Net, other: Net) -> bool:
    if isinstance(one, IPv4Network) and isinstance(other, IPv4Network):
        return one.overlaps(other)
    return isinstance(one, IPv6Network) and isinstance(other, IPv6Network) and one.overlaps(other)


def first_free_subnet(taken: Collection[str]) -> Subnet4:
    """The first /24 that meets nothing of `taken` (CIDRs): from 192.168.33.0 on, then in 172.16.0.0/12.

    Raises: AddressingError("no_subnet_left").
    """
    others = [network for network in (ip_network(cidr, strict=False) for cidr in taken) if isinstance(network, IPv4Network)]
    for network in _choices():
        if not any(network.overlaps(other) for other in others):
            return Subnet4(network, network.network_address + 1)
    raise AddressingError("no_subnet_left", "No free /24 is left. Name a subnet of your own, such as 10.77.0.1/24.")


def _choices() -> Iterator[IPv4Network]:
    first = int(FIRST_CHOICE.network_address)
    last = int(IPv4Network("192.168.0.0/16").broadcast_address)
    yield from (IPv4Network((address, 24)) for address in range(first, last, 256))
    yield from IPv4Network("172.16.0.0/12").subnets(new_prefix=24)


def default_pool(subnet: Subnet4) -> tuple[IPv4Address, IPv4Address]:
    """(first, last) of the addresses to give out when nobody said: all of them, but for a gateway at one of the ends."""
    first, last = subnet.network.network_address + 1, subnet.network.broadcast_address - 1
    return first + (first == subnet.gateway), last - (last == subnet.gateway)


def parse_pool(subnet: Subnet4, first: str, last: str) -> tuple[IPv4Address, IPv4Address]:
    """The range that somebody wants. Raises: AddressingError("bad_range")."""
    try:
        pool = IPv4Address(first.strip()), IPv4Address(last.strip())
    except ValueError as error:
        message = f"{_quoted(f'{first}-{last}')} is no range of addresses. Give its first and its last address."
        raise AddressingError("bad_range", message) from error
    ends = (subnet.network.network_address, subnet.network.broadcast_address)
    if any(address not in subnet.network or address in ends for address in pool):
        raise AddressingError("bad_range", f"{pool[0]}-{pool[1]} is not inside {subnet.network}.")
    if pool[0] > pool[1]:
        raise AddressingError("bad_range", f"The range {pool[0]}-{pool[1]} runs backwards.")
    return pool


def next_free(subnet: Subnet4, pool: tuple[IPv4Address, IPv4Address], taken: Collection[str]) -> IPv4Address:
    """The lowest address of `pool` that nobody has. Raises: AddressingError("no_address_left")."""
    others = {int(IPv4Address(address)) for address in taken} | {int(subnet.gateway)}
    for number in range(int(pool[0]), int(pool[1]) + 1):
        if number not in others:
            return IPv4Address(number)
    message = f"No address is left in {pool[0]}-{pool[1]} of {subnet.network}. Widen the range, or detach something."
    raise AddressingError("no_address_left", message)


def parse_address4(subnet: Subnet4, text: str) -> IPv4Address:
    """An address that a guest is to have. Raises: AddressingError("bad_address")."""
    try:
        address = IPv4Address(text.strip())
    except ValueError as error:
        raise AddressingError("bad_address", f"{_quoted(text)} is no IPv4 address.") from error
    if not subnet.holds(address):
        raise AddressingError("bad_address", _not_for_guests(address, subnet))
    return address


def parse_address6(subnet: Subnet6, text: str) -> IPv6Address:
    """The same in IPv6. Raises: AddressingError("bad_address")."""
    try:
        address = IPv6Address(text.strip())
    except ValueError as error:
        raise AddressingError("bad_address", f"{_quoted(text)} is no IPv6 address.") from error
    if address.scope_id is not None or not subnet.holds(address):
        raise AddressingError("bad_address", _not_for_guests(address, subnet))
    return address


def _not_for_guests(address: IPv4Address | IPv6Address, subnet: Subnet4 | Subnet6) -> str:
    if address not in subnet.network:
        return f"{address} is not inside {subnet.network}."
    if address == subnet.gateway:
        return f"{address} is the gateway of {subnet.network}. Take another one."
    return f"{address} is a special address of {subnet.network}. Take another one."


def new_ula() -> Subnet6:
    """A prefix of one's own: fd, 40 random bits, subnet 0 (RFC 4193, 3.2)."""
    prefix = (0xFD << 120) | (secrets.randbits(40) << 80)
    return Subnet6(IPv6Network((prefix, PREFIX6)), IPv6Address(prefix + 1))


def address6_for(subnet6: Subnet6, subnet4: Subnet4, address4: IPv4Address, taken: Collection[str]) -> IPv6Address:
    """The address with the number that the IPv4 one has in its network (.19 → ::13), or the next that is free."""
    others = {int(IPv6Address(address)) for address in taken} | {int(subnet6.gateway)}
    number = int(subnet6.network.network_address) + int(address4) - int(subnet4.network.network_address)
    while number in others:
        number += 1
    return IPv6Address(number)


def expanded(address: str) -> str:
    """An IPv6 address with all its digits: some guests' parsers stumble over "::"."""
    return IPv6Address(address).exploded


def _quoted(text: str) -> str:
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return "“" + "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in shown) + "”"
