"""OPS's words for bridged networking, of RunConfig and of its flags, as values. Pure; `instances.services.bridging` acts on them.

BridgeName and TapName are names of the team's own network and NIC, never of links of the host (SEC-C2). What OPS blanks without a word,
a wrong address or mask, is an error here.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, NetmaskValueError
from typing import Any, Final

from instances.imaging.opsjson import ConfigError
from instances.imaging.opsvalues import as_flag, as_text, bad, section

MAX_NICS: Final = 8  # of one instance

_NETWORK = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)
_NIC = re.compile(r"[a-z]([a-z0-9-]{0,13}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True)
class NicWish:
    """One of RunConfig.Nics; "" where nothing is said."""

    ip_address: str = ""
    ipv6_address: str = ""
    net_mask: str = ""
    gateway: str = ""
    bridge_name: str = ""


@dataclass(frozen=True)
class Bridging:
    """What somebody wants of bridged networking; "" or None where nothing is said."""

    bridged: bool | None = None
    bridge_name: str = ""
    tap_name: str = ""
    ip_address: str = ""
    ipv6_address: str = ""
    net_mask: str = ""
    gateway: str = ""
    bridge_ip_address: str = ""
    nics: tuple[NicWish, ...] = field(default=())

    def over(self, defaults: "Bridging") -> "Bridging":
        """The same, with `defaults` where it says nothing."""
        said = {name: value for name, value in vars(self).items() if value not in ("", None, ())}
        return dataclasses.replace(defaults, **said)

    def as_json(self) -> dict[str, Any]:
        """Only what is said, for a JSON column; `from_json` reads it."""
        plain = {name: value for name, value in vars(self).items() if value not in ("", None, ())}
        return plain | ({"nics": [vars(nic) for nic in self.nics]} if self.nics else {})

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Bridging":
        """What `as_json` made."""
        return cls(**{**values, "nics": tuple(NicWish(**nic) for nic in values.get("nics", ()))})


# OPS's names of the fields, for people who know OPS.
OPS_NAMES: Final[Mapping[str, str]] = {
    "bridged": "Bridged",
    "bridge_name": "BridgeName",
    "tap_name": "TapName",
    "ip_address": "IPAddress",
    "ipv6_address": "IPv6Address",
    "net_mask": "NetMask",
    "gateway": "Gateway",
    "bridge_ip_address": "BridgeIPAddress",
    "nics": "Nics",
}
# And of the flags of `opsweb run` that say the same.
OPS_FLAGS: Final[Mapping[str, str]] = {
    "bridged": "--bridged",
    "bridge_name": "--bridgename",
    "tap_name": "--tapname",
    "ip_address": "--ip-address",
    "ipv6_address": "--ipv6-address",
    "net_mask": "--netmask",
    "gateway": "--gateway",
    "bridge_ip_address": "--bridgeipaddress",
}


def read_bridging(run: Mapping[str, Any]) -> Bridging:
    """Of a RunConfig in OPS's own spelling. Raises: ConfigError with the field's full name."""
    values = {name: _word(name, f"RunConfig.{ops}", run.get(ops)) for name, ops in OPS_NAMES.items() if name in CHECKS}
    bridged = as_flag("RunConfig.Bridged", run["Bridged"]) if "Bridged" in run else None
    return Bridging(bridged=bridged, nics=_nics(run.get("Nics", [])), **values)


def _nics(given: Any) -> tuple[NicWish, ...]:
    if not isinstance(given, list):
        raise bad("RunConfig.Nics", given, "a list of objects")
    if len(given) > MAX_NICS:
        raise ConfigError("bad_value", f"RunConfig.Nics has {len(given)} entries; an instance takes {MAX_NICS}.", field="RunConfig.Nics")
    return tuple(_nic(f"RunConfig.Nics[{number}]", section("RunConfig.Nics", nic)) for number, nic in enumerate(given))


def _nic(where: str, fields: Mapping[str, Any]) -> NicWish:
    names = [column.name for column in dataclasses.fields(NicWish)]
    return NicWish(**{name: _word(name, f"{where}.{OPS_NAMES[name]}", fields.get(OPS_NAMES[name])) for name in names})


def _word(name: str, where: str, value: Any) -> str:
    text = as_text(where, value)
    try:
        return CHECKS[name](text) if text else ""
    except ValueError as error:
        what, _, mend = str(error).partition(". ")
        raise ConfigError("bad_value", f"{where}: {error}", field=where, mend=mend or what) from error


def ipv4_address(text: str) -> str:
    """An address that a machine can have. Raises: ValueError with a sentence."""
    try:
        address = IPv4Address(text)
    except AddressValueError as error:
        raise ValueError(f'“{text[:60]}” is no IPv4 address. Write one like "192.168.42.19"') from error
    if address.is_multicast or address.is_unspecified or address.is_loopback or address.is_reserved or address.is_link_local:
        raise ValueError(f'{address} is no address for a machine on a network. Take a private one like "192.168.42.19"')
    return str(address)


def ipv6_address(text: str) -> str:
    """The same for IPv6, compressed. Raises: ValueError with a sentence."""
    try:
        address = IPv6Address(text)
    except AddressValueError as error:
        raise ValueError(f'“{text[:60]}” is no IPv6 address. Write one like "fd12:3456:789a::13"') from error
    if address.scope_id or address.ipv4_mapped or address.is_multicast or address.is_unspecified or address.is_loopback:
        raise ValueError(f'{address} is no address for a machine on a network. Take one like "fd12:3456:789a::13"')
    if address.is_link_local:
        raise ValueError(f'{address} is link-local: every guest has one by itself. Take one like "fd12:3456:789a::13"')
    return str(address)


def net_mask(text: str) -> str:
    """A dotted mask, also of a prefix length. Raises: ValueError with a sentence."""
    try:
        mask = str(IPv4Network((0, text.removeprefix("/"))).netmask)
    except (NetmaskValueError, ValueError) as error:
        raise ValueError(f'“{text[:60]}” is no netmask. Write one like "255.255.255.0"') from error
    if mask != text and not text.removeprefix("/").isdecimal():  # a host mask, 0.0.0.255, is taken by `ipaddress`
        raise ValueError(f'“{text[:60]}” is no netmask. Write "{mask}"')
    return mask


def network_name(text: str) -> str:
    """A name for a network of the team. Raises: ValueError with a sentence."""
    if not _NETWORK.fullmatch(text):
        raise ValueError(f"“{text[:60]}” is no name of a network. Use lower-case letters, digits and hyphens, 40 at most, such as br0")
    return text


def nic_name(text: str) -> str:
    """A name for a NIC of the instance. Raises: ValueError with a sentence."""
    if not _NIC.fullmatch(text):
        raise ValueError(f"“{text[:60]}” is no name of a NIC. Use lower-case letters, digits and hyphens, 15 at most, such as tap0")
    return text


CHECKS: Final[Mapping[str, Callable[[str], str]]] = {
    "bridge_name": network_name,
    "tap_name": nic_name,
    "ip_address": ipv4_address,
    "ipv6_address": ipv6_address,
    "net_mask": net_mask,
    "gateway": ipv4_address,
    "bridge_ip_address": ipv4_address,
}
