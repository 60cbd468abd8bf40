"""The addresses of a network as people look at them: one strip over the subnet, and a table. Pure over rows that were read before."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network
from typing import Any
from uuid import UUID

from django.utils import timezone

from networks.models import Network, Nic
from networks.shown import STRANGER
from networks.traffic import Rates, rates
from networks.views.present import INSTANCE_STATES
from opsweb.core import access
from opsweb.core.access import Actor

CELLS = 256  # of a strip; in a bigger subnet each stands for several addresses
# From the weakest to the strongest: what a cell of several addresses shows.
TONES = ("free", "edge", "host", "record", "reserved", "leased")


@dataclass(frozen=True)
class Holder:
    """A NIC with its address, for a row of the table, a cell of the strip and a leaf of the topology."""

    nic: Nic
    name: str  # the instance's
    instance_id: UUID | None  # None: not the person's to see
    tone: str
    state: str
    lease: str | None  # ISO time of its end, "" for one that never ends, None without a lease
    rates: Rates | None  # what it moves now; None where that is not known

    @property
    def how(self) -> str:
        """In words, how the guest comes by its address."""
        return "fixed" if self.nic.is_fixed else "DHCP"

    @property
    def short4(self) -> str:
        """The last part of its address: ".19"."""
        return f".{str(self.nic.address4).rpartition('.')[2]}"

    @property
    def expires_at(self) -> datetime | None:
        """When its lease ends."""
        return datetime.fromisoformat(self.lease) if self.lease else None

    @property
    def dropped(self) -> int:
        """Packets that the anti-spoofing or the rate limit refused."""
        return int(self._count("dropped")[0])

    @property
    def octets_in(self) -> int:
        """Bytes to the guest."""
        return int(self._count("in")[1])

    @property
    def octets_out(self) -> int:
        """Bytes from the guest."""
        return int(self._count("out")[1])

    def _count(self, name: str) -> Sequence[int]:
        return self.nic.counts.get(name) or (0, 0)


def holders(network: Network, nics: Iterable[Nic], actor: Actor) -> list[Holder]:
    """The network's NICs by address, with the leases that dnsmasq gave out."""
    leases = {(lease["mac"], lease["address"]): lease for lease in network.leases}
    found = [_holder(nic, leases.get((nic.mac, str(nic.address4))), actor, network.host.counted_at) for nic in nics]
    return sorted(found, key=lambda holder: int(IPv4Address(holder.nic.address4 or 0)))


def _holder(nic: Nic, lease: Mapping[str, Any] | None, actor: Actor, read_at: datetime | None) -> Holder:
    instance = nic.instance
    is_seen = not access.refusal(actor, "instance.view", instance.team_id)
    state, tone = INSTANCE_STATES[instance.observed]
    ends = None if lease is None else lease["expires_at"] or ""
    moves = rates(nic.counts, nic.counted_at, nic.counted_before, read_at=read_at, now=timezone.now())
    return Holder(nic, instance.name if is_seen else STRANGER, instance.pk if is_seen else None, tone, state, ends, moves)


def strange_leases(network: Network, found: Sequence[Holder]) -> list[Mapping[str, Any]]:
    """Leases of no NIC: what is left of one that has gone."""
    known = {address for holder in found for address in (holder.nic.address4, holder.nic.address6) if address}
    return [lease for lease in network.leases if lease.get("address") not in known]


@dataclass(frozen=True)
class Cell:
    """One address of the strip, or several."""

    tone: str
    title: str


@dataclass(frozen=True)
class Strip:
    """The whole subnet in a row of cells."""

    cells: tuple[Cell, ...]
    per_cell: int
    reserved: int
    leased: int
    free: int

    @property
    def text(self) -> str:
        """For those who do not see it."""
        return f"{self.reserved} reserved, {self.leased} of them leased, {self.free} free"


def strip(network: Network, found: Sequence[Holder]) -> Strip:
    """Reserved, leased and free over the subnet; a constant number of cells however big it is."""
    subnet = IPv4Network(network.cidr4)
    taken = _taken(network, subnet, found)
    per_cell = max(1, subnet.num_addresses // CELLS)
    held_by_cell: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for offset, what in taken.items():
        held_by_cell[offset // per_cell].append(what)
    cells = [_cell(subnet, first, per_cell, held_by_cell[first // per_cell]) for first in range(0, subnet.num_addresses, per_cell)]
    leased = sum(holder.lease is not None for holder in found)
    held = sum(1 for tone, _ in taken.values() if tone != "free")
    return Strip(tuple(cells), per_cell, len(found), leased, subnet.num_addresses - held)


def _taken(network: Network, subnet: IPv4Network, found: Sequence[Holder]) -> dict[int, tuple[str, str]]:
    """Offset in the subnet → (tone, what it is)."""
    base = int(subnet.network_address)
    taken = {0: ("edge", "the network itself"), subnet.num_addresses - 1: ("edge", "broadcast")}
    for name, address in network.records.items():
        if ":" not in str(address) and IPv4Address(address) in subnet:
            taken[int(IPv4Address(address)) - base] = ("record", f"record {name}")
    for holder in found:
        tone = "reserved" if holder.lease is None else "leased"
        taken[int(IPv4Address(holder.nic.address4 or 0)) - base] = (tone, f"{holder.name} · {holder.how}, {tone}")
    taken[int(IPv4Address(network.gateway4)) - base] = ("host", "gateway")
    return taken


def _cell(subnet: IPv4Network, first: int, per_cell: int, held: Sequence[tuple[str, str]]) -> Cell:
    if per_cell == 1:
        tone, what = held[0] if held else ("free", "free")
        return Cell(tone, f"{subnet[first]} · {what}")
    tone = max((tone for tone, _ in held), key=TONES.index, default="free")
    return Cell(tone, f"{subnet[first]} to {subnet[first + per_cell - 1]} · {len(held)} of {per_cell} taken")
