"""NICs of an instance. Called by instances.services inside its transactions, with the team's row locked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F

from networks.addressing import MAX_NICS, next_free, parse_address4, parse_address6
from networks.guests import Guest
from networks.models import NIC_NAME, Network, Nic, new_tag
from networks.services.announce import announce
from networks.services.forwards import rebind
from networks.services.quota import take
from networks.services.subnets import free6, said
from networks.sharing import usable_by
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, Invalid, NotFound
from opsweb.core.hosts import lock_host
from opsweb.teams.services import Usage

SHIFT = 1000  # positions of rows that move, meanwhile: a position has one taker
LEAST_RATE, MOST_RATE = 64, 100_000_000  # kbit/s


@dataclass(frozen=True)
class NicSpec:
    """What a person asks of one NIC."""

    network: Network | None = None  # None: user mode
    name: str = ""  # "": that of the NIC at this position, else the first free of tap0, tap1 …
    address4: str = ""  # "": reserved for it automatically; the guest asks by DHCP
    address6: str = ""
    rate_kbit: int = 0  # 0: no limit


def set_nics(instance: Guest, specs: Sequence[NicSpec], *, actor: Actor) -> None:
    """Make the instance's NICs exactly these, in this order. One that keeps its name keeps its MAC, and its address on the same network.

    The forwards are the first NIC's: they stay with whichever comes first. Raises: Invalid; NotFound for a network that the team may not
    use; Conflict ("address_taken", "no_address_left", "quota", "wrong_state").
    """
    if len(specs) > MAX_NICS:
        raise Invalid(f"An instance has at most {MAX_NICS} NICs.", fields={"nics": ["too many"]})
    lock_host(instance.host.pk)  # addresses are given out under it; who deletes a network takes it too
    rows = {nic.name: nic for nic in instance_nics(instance.pk)}
    touched = {nic.network_id for nic in rows.values() if nic.network_id}
    specs = [_checked(spec, instance) for spec in specs]
    named = _named(specs, list(rows.values()))
    grown = sum(spec.network is not None for spec in specs) - sum(nic.network_id is not None for nic in rows.values())
    take(instance.team_id, Usage(addresses=grown))
    first = next(iter(rows.values()), None)
    nics = _written(instance, named, rows)
    _keep_forwards(first, nics)
    if gone := [nic.pk for name, nic in rows.items() if name not in named]:
        Nic.objects.filter(pk__in=gone).delete()
    if touched := touched | {nic.network_id for nic in nics if nic.network_id}:
        for network in Network.objects.filter(pk__in=touched).select_related("host"):
            announce(network)


def instance_nics(instance_id: UUID) -> list[Nic]:
    """Its NICs in order, with their networks."""
    return list(Nic.objects.filter(instance_id=instance_id).select_related("network"))


def _named(specs: Sequence[NicSpec], rows: Sequence[Nic]) -> dict[str, NicSpec]:
    """Name → spec, in order; who has no name gets one."""
    wanted = {spec.name for spec in specs}
    free = (f"tap{number}" for number in range(2 * MAX_NICS))
    named: dict[str, NicSpec] = {}
    for position, spec in enumerate(specs):
        held = [nic.name for nic in rows if nic.position == position and nic.name not in wanted | named.keys()]
        others = {nic.name for nic in rows if nic.position < len(specs) and not specs[nic.position].name} | wanted
        name = spec.name or (held[0] if held else next(name for name in free if name not in others | named.keys()))
        if name in named:
            raise Invalid(f"Two NICs are called {name}. Give each a name of its own.", fields={"nics": [name]})
        _check_name(name)
        named[name] = spec
    return named


def _check_name(name: str) -> None:
    if not NIC_NAME.regex.match(name):  # type: ignore[union-attr]
        raise Invalid(f"“{name[:60]}” is no name of a NIC. {NIC_NAME.message}", fields={"nics": [name[:60]]})


def _checked(spec: NicSpec, instance: Guest) -> NicSpec:
    """With its network as it is under the lock: somebody may have edited it since the caller looked."""
    if spec.rate_kbit and not LEAST_RATE <= spec.rate_kbit <= MOST_RATE:
        raise Invalid(f"A rate limit goes from {LEAST_RATE} to {MOST_RATE} kbit/s; 0 is none.", fields={"rate_kbit": [spec.rate_kbit]})
    if spec.network is None:
        if spec.address4 or spec.address6:
            raise Invalid("A user-mode NIC has no address of its own. Name a network for it.", fields={"nics": ["no network"]})
        return spec
    network = Network.objects.filter(pk=spec.network.pk).first()
    if network is None or not usable_by(instance.team_id).filter(pk=network.pk).exists():
        if network is not None and network.team_id == instance.team_id:
            raise Conflict(f"Network {network.name} is being deleted.", code="wrong_state")
        raise NotFound
    if network.host_id != instance.host.pk:
        raise Conflict(f"Network {network.name} is on another host than the instance.", code="other_host")
    return replace(spec, network=network)


def _written(instance: Guest, named: dict[str, NicSpec], rows: dict[str, Nic]) -> list[Nic]:
    if rows:
        _make_way(instance, [nic.pk for name, nic in rows.items() if name not in named or _leaves(nic, named[name])])
    nics = []
    for position, (name, spec) in enumerate(named.items()):
        nic = rows.get(name) or Nic(instance_id=instance.pk, name=name)
        nic.position, nic.rate_kbit = position, spec.rate_kbit
        _give_addresses(nic, spec)
        _save(nic)
        nics.append(nic)
    return nics


def _make_way(instance: Guest, leaving: Sequence[UUID]) -> None:
    """Positions, and the addresses of those that leave theirs, are free for the others."""
    Nic.objects.filter(instance_id=instance.pk).update(position=F("position") + SHIFT)
    Nic.objects.filter(pk__in=leaving).update(network=None, address4=None, address6=None)


def _leaves(nic: Nic, spec: NicSpec) -> bool:
    """Whether it gives up an address that it has."""
    stays = spec.network is not None and nic.network_id == spec.network.pk
    return not stays or spec.address4 not in ("", nic.address4) or spec.address6 not in ("", nic.address6)


def _give_addresses(nic: Nic, spec: NicSpec) -> None:
    network = spec.network
    if network is None:
        nic.network, nic.address4, nic.address6, nic.is_fixed = None, None, None, False
        return
    moved, nic.network = nic.network_id != network.pk, network
    before = (nic.address4, nic.address6)
    if moved:
        nic.tag = new_tag()  # a VM that runs keeps its tap on the other bridge until its next start: no rule is to know that one any more
    others = network.nics.exclude(pk=nic.pk)
    if spec.address4:
        with said("address4"):
            nic.address4 = str(parse_address4(network.subnet4, spec.address4))
    elif moved or not nic.address4:
        nic.address4 = _next_address4(network, {address for address in others.values_list("address4", flat=True) if address})
    _give_address6(nic, network, spec, moved)
    nic.is_fixed = bool(spec.address4 or spec.address6) or not network.dhcp
    _refuse_recorded(nic, network, before)
    if taker := others.filter(address4=nic.address4).select_related("instance").first():
        raise _taken(str(nic.address4), taker, nic)
    if nic.address6 and (taker := others.filter(address6=nic.address6).select_related("instance").first()):
        raise _taken(nic.address6, taker, nic)


def _refuse_recorded(nic: Nic, network: Network, before: tuple[str | None, ...]) -> None:
    """A name of the network's own team is not to lead to another team's guest."""
    for name, address in network.records.items():
        if address in {nic.address4, nic.address6} - set(before) and nic.instance.team_id != network.team_id:
            message = f"{address} is what network {network.name} calls {name}. Take another one."
            raise Conflict(message, code="address_taken", fields={"address": [address]})


def _next_address4(network: Network, taken: set[str]) -> str:
    if network.pool is None:
        message = f"Give an address of {network.cidr4}: nobody said which ones of the uplink {network.name} are free."
        raise Invalid(message, code="no_address", fields={"address4": ["missing"]})
    with said("address4"):
        return str(next_free(network.subnet4, network.pool, taken | network.recorded(4)))


def _give_address6(nic: Nic, network: Network, spec: NicSpec, moved: bool) -> None:
    subnet6 = network.subnet6
    if subnet6 is None:
        if spec.address6:
            raise Invalid(f"Network {network.name} has no IPv6.", fields={"address6": [spec.address6[:60]]})
        nic.address6 = None
    elif spec.address6:
        with said("address6"):
            nic.address6 = str(parse_address6(subnet6, spec.address6))
    elif moved or not nic.address6 or spec.address4:
        taken = network.nics.exclude(pk=nic.pk).exclude(address6=None).values_list("address6", flat=True)
        nic.address6 = free6(network, nic, {address for address in taken if address})


def _taken(address: str, taker: Nic, nic: Nic) -> Conflict:
    ours = taker.instance_id == nic.instance_id or taker.instance.team_id == nic.instance.team_id
    who = f"instance {taker.instance.name}" if ours else "another team's instance"
    return Conflict(f"{address} is reserved for {who}. Take another one.", code="address_taken", fields={"address": [address]})


def _save(nic: Nic) -> None:
    try:
        with transaction.atomic():
            nic.save()
    except IntegrityError as error:
        message = f"{nic.address4} was taken by somebody else just now. Take another one."
        raise Conflict(message, code="address_taken", fields={"address": [nic.address4]}) from error


def _keep_forwards(before: Nic | None, nics: Sequence[Nic]) -> None:
    """The forwards of the NIC that was first belong to the one that is."""
    if before is None or not nics:
        return
    if before.pk != nics[0].pk:
        before.forwards.update(nic=nics[0])
    rebind(nics[0])
