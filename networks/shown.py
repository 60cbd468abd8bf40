"""How networks are shown: badge, addresses, leases, forwards. Read by pages and the API alike; nothing of it is stored."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address
from typing import Any
from uuid import UUID

from django.db.models import Count, Prefetch, QuerySet

from networks.models import Network, Nic, PortForward
from networks.states import DOING, LABELS, Desired, Observed
from opsweb.core import access
from opsweb.core.access import Actor
from opsweb.core.models import Operation

STRANGER = "another team's"  # in place of the name of an instance that the viewer may not see (INV-15)


@dataclass(frozen=True)
class Badge:
    """A state for people: the words and the tone (run, wait, stop, bad)."""

    label: str
    tone: str


def unmended(network: Network) -> list[dict[str, Any]]:
    """Differences between wish and host that the last pass could not mend."""
    return [entry for entry in network.drift if not entry["mended"]]


def badge(network: Network, operation: Operation | None) -> Badge:
    """The state with its transition; `operation` is the active one."""
    if operation is not None and operation.verb in DOING:
        return Badge(DOING[operation.verb], "wait")
    if network.desired == Desired.ABSENT:
        return Badge(DOING["delete"], "wait")
    if network.observed == Observed.UP and unmended(network):
        return Badge("Drifted", "bad")
    return Badge(*LABELS[Observed(network.observed)])


def active_operations(networks: Iterable[Network]) -> dict[UUID, Operation]:
    """Network id → what is being done with it. One query."""
    rows = Operation.objects.filter(kind="network", target_id__in=[row.pk for row in networks], status__in=Operation.ACTIVE)
    return {operation.target_id: operation for operation in rows}


def with_nics(networks: QuerySet[Network]) -> QuerySet[Network]:
    """The same rows with all that this module reads: NICs with their instances and forwards, teams. Five queries, however many rows."""
    nics = Nic.objects.select_related("instance").prefetch_related("forwards").order_by("position")
    return networks.select_related("team", "host").prefetch_related(Prefetch("nics", nics), "shared_with", "linked")


def nic_counts(networks: Iterable[Network]) -> dict[UUID, int]:
    """Network id → how many NICs it has. One query."""
    rows = Nic.objects.filter(network__in=[row.pk for row in networks]).order_by().values_list("network").annotate(Count("pk"))
    return {pk: number for pk, number in rows if pk is not None}


@dataclass(frozen=True)
class Address:
    """One address of a network, or a run of free ones, and what is known of it."""

    state: str  # "gateway", "leased" (reserved, and the guest took it), "reserved", "record", "free", "foreign" (leased, reserved no more)
    first: str
    last: str
    address6: str = ""
    mac: str = ""
    nic: str = ""  # its name
    nic_id: UUID | None = None
    instance: str = ""
    instance_id: UUID | None = None  # None where the viewer may not see it
    is_fixed: bool = False
    lease_expires_at: datetime | None = None

    @property
    def count(self) -> int:
        """How many addresses it stands for."""
        return int(IPv4Address(self.last)) - int(IPv4Address(self.first)) + 1


def addresses(network: Network, actor: Actor) -> list[Address]:
    """All of its IPv4 range in order, free ones as runs. Of `with_nics` rows no query."""
    known = {int(IPv4Address(row.first)): row for row in _known(network, actor)}
    subnet = network.subnet4.network
    rows, start = [], int(subnet.network_address) + 1
    for number in sorted(number for number in known if IPv4Address(number) in subnet):
        rows += [*_free(start, number - 1), known[number]]
        start = number + 1
    return rows + list(_free(start, int(subnet.broadcast_address) - 1))


def _free(first: int, last: int) -> Iterator[Address]:
    if first <= last:
        yield Address("free", str(IPv4Address(first)), str(IPv4Address(last)))


def _known(network: Network, actor: Actor) -> Iterator[Address]:
    """Later ones stand before earlier ones."""
    for lease in leases(network, actor):
        if lease.instance == "" and ":" not in lease.address:
            yield Address("foreign", lease.address, lease.address, mac=lease.mac, lease_expires_at=lease.expires_at)
    for name, address in network.records.items():
        if ":" not in address:
            yield Address("record", address, address, instance=name)
    leased = {entry["mac"]: entry for entry in network.leases}
    for nic in network.nics.all():
        yield _of_nic(nic, leased.get(nic.mac), actor)
    yield Address("gateway", network.gateway4, network.gateway4, address6=network.gateway6 or "")


def _of_nic(nic: Nic, lease: dict[str, Any] | None, actor: Actor) -> Address:
    address = nic.address4 or ""
    name, instance_id = _instance(nic, actor)
    took = lease is not None and lease["address"] == address
    return Address(
        state="leased" if took else "reserved",
        first=address,
        last=address,
        address6=nic.address6 or "",
        mac=nic.mac,
        nic=nic.name,
        nic_id=nic.pk,
        instance=name,
        instance_id=instance_id,
        is_fixed=nic.is_fixed,
        lease_expires_at=_time(lease["expires_at"]) if lease and took else None,
    )


def _instance(nic: Nic, actor: Actor) -> tuple[str, UUID | None]:
    if access.refusal(actor, "instance.view", nic.instance.team_id):
        return STRANGER, None
    return nic.instance.name, nic.instance_id


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


@dataclass(frozen=True)
class Usage:
    """How full a network is."""

    reserved: int
    leased: int
    free: int


def usage(network: Network, rows: Sequence[Address]) -> Usage:
    """Of the rows that `addresses` made."""
    free = sum(row.count for row in rows if row.state == "free")
    leased = sum(row.state == "leased" for row in rows)
    return Usage(reserved=len(network.nics.all()), leased=leased, free=free)


@dataclass(frozen=True)
class Lease:
    """What dnsmasq gave out, and to whom."""

    mac: str
    address: str
    name: str  # the one that goes with it; "" where the viewer may not know whose it is
    instance: str  # "" when no NIC has the address
    instance_id: UUID | None
    expires_at: datetime | None


def leases(network: Network, actor: Actor) -> list[Lease]:
    """In order of address. Of `with_nics` rows no query."""
    by_address = {address: nic for nic in network.nics.all() for address in (nic.address4, nic.address6) if address}
    rows = []
    for entry in network.leases:
        nic = by_address.get(entry["address"])
        instance, instance_id = _instance(nic, actor) if nic else ("", None)
        name = "" if instance_id is None else entry["name"]  # whose a NIC was that has gone, nobody can tell any more
        rows.append(Lease(entry["mac"], entry["address"], name, instance, instance_id, _time(entry["expires_at"])))
    return sorted(rows, key=lambda row: (":" in row.address, row.address))


@dataclass(frozen=True)
class Forward:
    """A port of the host that leads into the network."""

    protocol: str
    host_address: str
    host_port: int
    guest_port: int
    address4: str
    instance: str
    instance_id: UUID | None


def forwards(network: Network, actor: Actor) -> list[Forward]:
    """In order of port; those of other teams are not the viewer's business and left out. Of `with_nics` rows no query."""
    found: list[tuple[Nic, PortForward]] = [(nic, forward) for nic in network.nics.all() for forward in nic.forwards.all()]
    rows = [
        Forward(f.protocol, f.host_address, f.host_port, f.guest_port, nic.address4 or "", nic.instance.name, nic.instance_id)
        for nic, f in found
        if not access.refusal(actor, "instance.view", nic.instance.team_id)
    ]
    return sorted(rows, key=lambda row: (row.protocol, row.host_port))
