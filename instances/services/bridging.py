"""OPS's words for bridged networking become NICs on the team's networks: Bridged, BridgeName, TapName, IPAddress and their kin.

One function for every door. BridgeName and TapName are names of the team's own network and NIC (SEC-C2). A network that is missing is made
as OPS makes a bridge; one that is there is never re-addressed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from django.db import transaction

from instances.imaging.opsnetwork import OPS_FLAGS, OPS_NAMES, Bridging, NicWish
from instances.models import Image, Instance
from instances.services import create as creating
from instances.services.create import InstanceSpec
from networks import sharing
from networks.models import Network
from networks.services import networks
from networks.services.networks import NetworkSpec
from networks.services.nics import NicSpec
from opsweb.core import access
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, Invalid
from opsweb.core.models import Operation
from opsweb.teams.models import Team
from opsweb.teams.services import lock_team

DEFAULT = "br0"  # OPS's own
PREFIX4, PREFIX6 = 24, 64  # of a network that has to be made

Notes = list[dict[str, str]]


def create(
    team: Team,
    name: str,
    image: Image,
    spec: InstanceSpec,
    *,
    actor: Actor,
    start: bool = True,
    wish: Bridging | None = None,
    config: Bridging | None = None,
    may_create: bool = True,
) -> tuple[Instance, Operation | None, Notes]:
    """Make an instance with the NICs that OPS's words mean: flags (`wish`) before `config`, both before the image's; all or nothing.

    NICs that `spec` names come first, and then no word counts. Raises as `create.create` and `networks.create` do; Invalid for an address
    outside of the network; Conflict("no_network") when one is missing and `may_create` is not so.
    """
    access.require(actor, "instance.create", team.pk)
    with transaction.atomic():
        wiring = _Wiring(team, actor, may_create, wish or Bridging())
        asked = wiring.flags.over((config or Bridging()).over(Bridging.from_json(image.defaults.get("bridging", {}))))
        if spec.nics is None and asked != Bridging():
            lock_team(team.pk)  # two runs at once find one network, not none each
            spec = replace(spec, nics=wiring.nics(asked))
        instance, operation = creating.create(team, name, image, spec, actor=actor, start=start)
    return instance, operation, wiring.notes


def summary(said: Mapping[str, Any]) -> str:
    """What an image's config says of networks, for people: "tap1 on br0, 192.168.42.19"; "" when it says nothing."""
    wish = Bridging.from_json(said)
    wishes = list(_each(wish))
    if not wish.bridged and not any(nic.bridge_name for nic in wishes):
        return ""
    names = _names(wish.tap_name or "tap0", len(wishes))
    return "; ".join(f"{name} on {_place(nic)}" for name, nic in zip(names, wishes, strict=True))


def _place(nic: NicWish) -> str:
    if not nic.ip_address:
        return nic.bridge_name or DEFAULT
    return f"{nic.bridge_name}, {nic.ip_address}" if nic.bridge_name else f"the network of {nic.ip_address}"


@dataclass
class _Wiring:
    """What is needed on the way: whose networks, who asks, what they are told."""

    team: Team
    actor: Actor
    may_create: bool
    flags: Bridging
    notes: Notes = field(default_factory=list)

    def nics(self, wish: Bridging) -> list[NicSpec] | None:
        """A NIC for the words themselves and for each further one of Nics; None where everything is as without any word."""
        wishes = list(_each(wish))
        on_network = [bool(wish.bridged or wish.nics[place : place + 1] and wish.nics[place].bridge_name) for place in range(len(wishes))]
        if not on_network[0]:
            self._tell_of_idle_words(wish)
        if not any(on_network) and len(wishes) == 1:
            return None
        names = _names(wish.tap_name or "tap0", len(wishes))
        pairs = zip(names, wishes, on_network, strict=True)
        return [self._nic(name, nic, wish) if is_on else NicSpec(name=name) for name, nic, is_on in pairs]

    def _tell_of_idle_words(self, wish: Bridging) -> None:
        for name, value in wish.as_json().items():
            if name not in ("bridged", "nics"):
                self._note(name, value, f"{value} has no effect: Bridged (-b) is not set, so the instance is in user mode.")

    def _nic(self, name: str, nic: NicWish, wish: Bridging) -> NicSpec:
        network = self._there(nic)
        if network is None:
            network = self._made(nic, wish)
        else:
            self._judge(network, nic, wish)
        return NicSpec(network=network, name=name, address4=nic.ip_address, address6=nic.ipv6_address)

    @cached_property
    def _usable(self) -> list[Network]:
        """The team's own before those that are shared with it."""
        return sorted(sharing.usable_by(self.team.pk), key=lambda network: (network.team_id != self.team.pk, network.name))

    def _there(self, nic: NicWish) -> Network | None:
        return next(filter(_fits(nic), self._usable), None)

    def _made(self, nic: NicWish, wish: Bridging) -> Network:
        spec = NetworkSpec(name=_name(nic), cidr4=_cidr4(nic, wish.bridge_ip_address), cidr6=_cidr6(nic))
        if not self.may_create:
            raise _missing(self.team, spec)
        network, _ = networks.create(self.team, spec, actor=self.actor)
        self._usable.append(network)
        self._note(
            "bridge_name",
            nic.bridge_name,
            f"Network {network.name} was made for it: {network.cidr4}, gateway {network.gateway4}. It stays when the instance goes.",
        )
        return network

    def _judge(self, network: Network, nic: NicWish, wish: Bridging) -> None:
        """Addresses outside of it are refused, words about itself are told to have no effect."""
        _refuse_outside(network, nic, self._word("bridge_name", nic.bridge_name))
        so = {"net_mask": str(network.subnet4.network.netmask), "gateway": network.gateway4, "bridge_ip_address": network.gateway4}
        for name, wanted in (("net_mask", nic.net_mask), ("gateway", nic.gateway), ("bridge_ip_address", wish.bridge_ip_address)):
            if wanted and wanted != so[name]:
                self._note(name, wanted, f"{wanted} has no effect: network {network.name} is there already, and keeps {so[name]}.")

    def _word(self, name: str, value: Any) -> str:
        """By which this was said, or would have been: the flag, or the field of a config."""
        is_flag = getattr(self.flags, name) == value and bool(value or self.flags.bridged)
        return OPS_FLAGS[name] if is_flag else f"RunConfig.{OPS_NAMES[name]}"

    def _note(self, name: str, value: Any, text: str) -> None:
        self.notes.append({"field": self._word(name, value), "note": text})


def _each(wish: Bridging) -> Iterator[NicWish]:
    """RunConfig's own words are about the first NIC; what they leave out, Nics[0] says."""
    own = NicWish(wish.ip_address, wish.ipv6_address, wish.net_mask, wish.gateway, wish.bridge_name)
    first = wish.nics[0] if wish.nics else NicWish()
    yield NicWish(**{name: value or getattr(first, name) for name, value in vars(own).items()})
    for nic in wish.nics[1:]:
        # Without a word of its own it goes where the first one went.
        yield nic if nic.bridge_name or nic.ip_address or nic.ipv6_address else replace(nic, bridge_name=own.bridge_name)


def _names(first: str, count: int) -> Sequence[str]:
    numbered = (name for name in (f"tap{number}" for number in range(count + 1)) if name != first)
    return [first, *(next(numbered) for _ in range(count - 1))]


def _fits(nic: NicWish) -> Callable[[Network], bool]:
    """The network is the named one, else the one that the address is in, else OPS's default."""
    if nic.bridge_name:
        return lambda network: network.name == nic.bridge_name
    if nic.ip_address:
        return lambda network: IPv4Address(nic.ip_address) in network.subnet4.network
    if nic.ipv6_address:
        return lambda network: network.subnet6 is not None and IPv6Address(nic.ipv6_address) in network.subnet6.network
    return lambda network: network.name == DEFAULT


def _name(nic: NicWish) -> str:
    """ "": the next brN that is free."""
    return nic.bridge_name or ("" if nic.ip_address or nic.ipv6_address else DEFAULT)


def _cidr4(nic: NicWish, bridge_ip_address: str) -> str:
    """As `addressing.parse_cidr4` reads it: with the gateway's address, or with the subnet's own; "" for any subnet."""
    gateway = nic.gateway or bridge_ip_address
    if not nic.ip_address and not gateway:
        return ""
    subnet = IPv4Network((nic.ip_address or gateway, nic.net_mask or PREFIX4), strict=False)
    if gateway and IPv4Address(gateway) not in subnet:
        message = f"The gateway {gateway} is not in {subnet}, the subnet of {nic.ip_address}. Take one that is, or leave it out."
        raise Invalid(message, fields={"bridging.gateway": [gateway]})
    return f"{gateway or subnet.network_address}/{subnet.prefixlen}"


def _cidr6(nic: NicWish) -> str | None:
    return str(IPv6Network((nic.ipv6_address, PREFIX6), strict=False)) if nic.ipv6_address else None


def _missing(team: Team, spec: NetworkSpec) -> Conflict:
    what = f"called {spec.name}" if spec.name else f"with addresses of {spec.cidr4 or spec.cidr6}"
    flags = [f"--bridgename {spec.name}" if spec.name else "", f"--subnet {spec.cidr4}" if spec.cidr4 else ""]
    command = " ".join(filter(None, ["opsweb network create", *flags]))
    return Conflict(f"Team {team.name} has no network {what}. Make it with `{command}`, or let it be made.", code="no_network")


def _refuse_outside(network: Network, nic: NicWish, word: str) -> None:
    """`word` names the network."""
    mend = f"Take an address of it, or name another network by {word}."
    if nic.ip_address and IPv4Address(nic.ip_address) not in network.subnet4.network:
        message = f"{nic.ip_address} is not in {network.cidr4}, the subnet of network {network.name}, which stays as it is."
        raise Invalid(f"{message} {mend}", fields={"bridging.ip_address": [nic.ip_address]})
    if nic.ipv6_address and network.subnet6 is None:
        message = f"Network {network.name} has no IPv6. Give it some with `opsweb network edit {network.name} --ipv6 auto`."
        raise Invalid(message, fields={"bridging.ipv6_address": [nic.ipv6_address]})
    if nic.ipv6_address and network.subnet6 and IPv6Address(nic.ipv6_address) not in network.subnet6.network:
        message = f"{nic.ipv6_address} is not in {network.cidr6}, the IPv6 prefix of network {network.name}, which stays as it is."
        raise Invalid(f"{message} {mend}", fields={"bridging.ipv6_address": [nic.ipv6_address]})
