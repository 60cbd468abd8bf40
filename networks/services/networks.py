"""Create, edit, repair, delete networks; share and link them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from networks.models import Network
from networks.services import rules, subnets
from networks.services.announce import announce, announce_rules, tell
from networks.services.quota import take
from networks.services.texts import canonical, check_texts
from networks.sharing import refuse_users
from networks.states import Desired
from opsweb.core import access, audit, operations
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, Forbidden, Invalid, NotFound
from opsweb.core.hosts import lock_host, locked_host
from opsweb.core.models import Host, Operation
from opsweb.environment import env
from opsweb.teams.models import Team
from opsweb.teams.services import Usage, lock_team

SHOWN_USERS = 5  # names in a refusal


@dataclass
class NetworkSpec:
    """What a person asks for; None leaves it as it is, or takes the default."""

    name: str | None = None  # "": br0, br1 …
    mode: str | None = None
    adapter: str | None = None
    cidr4: str | None = None  # "192.168.33.1/24": with the gateway's address (an uplink: the router's), or "192.168.33.0/24"; "": any
    cidr6: str | None = None  # "fd12:3456:789a::/64"; "auto": a prefix of one's own is made up; "": no IPv6
    is_nat6: bool | None = None
    dhcp: bool | None = None  # of an uplink False unless somebody says otherwise
    dhcp_first: str | None = None  # "" with dhcp_last "": the default range
    dhcp_last: str | None = None
    lease_seconds: int | None = None
    mtu: int | None = None
    domain: str | None = None
    resolvers: Sequence[str] | None = None
    records: Mapping[str, str] | None = None
    shared_with: Sequence[Team] | None = None


PLAIN = ("is_nat6", "dhcp", "lease_seconds", "mtu", "domain", "resolvers", "records")  # columns that are what the spec says
COLUMNS = (  # those that people write; the worker may be writing the others
    *PLAIN, "name", "mode", "cidr4", "gateway4", "cidr6", "gateway6", "dhcp_first", "dhcp_last",
)  # fmt: skip
CHECKED = ("name", "mode", "adapter", "lease_seconds", "mtu", "domain")


def free_name(team: Team) -> str:
    """br0, or the first brN that no network of the team has."""
    taken = set(Network.objects.filter(team=team, name__startswith="br").values_list("name", flat=True))
    return next(name for name in (f"br{number}" for number in range(len(taken) + 1)) if name not in taken)


def create(team: Team, spec: NetworkSpec, *, actor: Actor) -> tuple[Network, Operation]:
    """Write a network down, inside the team's quota, and let the worker make it.

    Raises: NotFound, Forbidden; Invalid; Conflict ("name_taken", "overlap", "quota", "no_room", "adapter_taken").
    """
    access.require(actor, "network.create", team.pk)
    with transaction.atomic():
        lock_team(team.pk)
        take(team.pk, Usage(networks=1))
        host = locked_host(Host.objects.get(name=env.host).pk)
        network = Network(team=team, host=host, uid_offset=_free_uid(host), created_by_id=actor.user_id)
        network.name = spec.name or free_name(team)
        network.mode = spec.mode or Network.Mode.NAT
        network.adapter = spec.adapter or ""
        network.dhcp = network.mode != Network.Mode.UPLINK
        _refuse_admins_part(network, spec, actor)
        subnets.place4(network, spec.cidr4 or "", host, is_admin=actor.superuser)
        subnets.place6(network, spec.cidr6 or "", host, is_admin=actor.superuser)
        _fill(network, spec)
        _save(network, force_insert=True)
        network.shared_with.set(spec.shared_with or ())
        return network, _asked(network, "create", actor, {"cidr4": network.cidr4, "mode": network.mode})


def edit(network: Network, spec: NetworkSpec, *, actor: Actor) -> tuple[Network, Operation]:
    """Change what is asked for. A subnet that NICs have addresses in stays as it is.

    Raises: NotFound, Forbidden; Invalid; Conflict ("name_taken", "overlap", "in_use", "busy").
    """
    refuse_users(actor, network)
    access.require(actor, "network.edit", network.team_id)
    with transaction.atomic():
        lock_team(network.team_id)
        host = locked_host(network.host_id)
        network = _again(network)
        _refuse_admins_part(network, spec, actor)
        had6, had_dhcp = network.cidr6, network.dhcp
        network.name = spec.name or network.name
        _set_mode(network, spec)
        _replace(network, spec, host, is_admin=actor.superuser)
        _fill(network, spec)
        _save(network, update_fields=COLUMNS)
        if network.cidr6 != had6:
            subnets.readdress6(network)
        if had_dhcp and not network.dhcp:  # nobody would tell the guests any more
            network.nics.update(is_fixed=True)
        if spec.shared_with is not None:
            _share(network, spec.shared_with)
        fields = sorted(name for name, value in vars(spec).items() if value is not None)
        return network, _asked(network, "edit", actor, {"fields": fields})


def repair(network: Network, *, actor: Actor) -> Operation:
    """Look at it now and mend what differs. Raises: NotFound, Forbidden, Conflict("busy", "wrong_state")."""
    refuse_users(actor, network)
    access.require(actor, "network.repair", network.team_id)
    with transaction.atomic():
        return _asked(_again(network), "repair", actor, {})


def delete(network: Network, *, actor: Actor) -> Operation:
    """Let the worker take it away. Rules of other teams that name it fit nothing from now on, and say so.

    Raises: NotFound, Forbidden; Conflict("in_use") that names who is attached, or which of its own team's rules name it.
    """
    refuse_users(actor, network)
    access.require(actor, "network.delete", network.team_id)
    with transaction.atomic():
        lock_team(network.team_id)
        lock_host(network.host_id)  # who attaches takes it too
        network = _again(network)
        if users := _users(network):
            raise Conflict(f"Network {network.name} is used by {users}. Detach or delete those first.", code="in_use")
        rules.let_go(network)
        Network.objects.filter(pk=network.pk).update(desired=Desired.ABSENT)
        return _asked(network, "delete", actor, {})


def link(network: Network, others: Iterable[Network], *, actor: Actor) -> None:
    """Let it exchange packets with exactly `others`, whoever's they are. For superusers. Raises: Forbidden, Invalid."""
    access.require(actor, "network.edit", network.team_id)
    if not actor.superuser:
        raise Forbidden("Only an admin of the panel may link networks.")
    others = list(others)
    if any(other.pk == network.pk or other.host_id != network.host_id for other in others):
        raise Invalid("A network is linked with others of its own host.", fields={"linked": ["not another of this host"]})
    with transaction.atomic():
        lock_host(network.host_id)
        network.linked.set(others)
        audit.record(
            actor,
            "network.link",
            kind="network",
            target_id=network.pk,
            label=network.name,
            team_id=network.team_id,
            details={"linked": sorted(other.name for other in others)},
        )
        announce_rules(network.host)
        tell(network)


def _refuse_admins_part(network: Network, spec: NetworkSpec, actor: Actor) -> None:
    wants_uplink = Network.Mode.UPLINK in (network.mode, spec.mode)
    if not actor.superuser and wants_uplink:
        raise Forbidden("An uplink takes an adapter of the host: only an admin of the panel may make one.")
    if not actor.superuser and spec.shared_with is not None:
        raise Forbidden("Only an admin of the panel may share a network with other teams.")
    if wants_uplink:
        _check_adapter(network)
    elif spec.adapter:
        raise Invalid("Only an uplink has an adapter. Leave it out, or take the mode uplink.", fields={"adapter": [spec.adapter]})


def _check_adapter(network: Network) -> None:
    known = [adapter["name"] for adapter in network.host.network_facts.get("adapters", ())]
    if not network.adapter or (known and network.adapter not in known and network._state.adding):
        raise Invalid(f"An uplink needs an adapter of the host: {', '.join(known) or 'its name'}.", fields={"adapter": known})
    if Network.objects.filter(host=network.host_id, adapter=network.adapter).exclude(pk=network.pk).exists():
        raise Conflict(
            f"Adapter {network.adapter} is in another uplink already.", code="adapter_taken", fields={"adapter": [network.adapter]}
        )


def _set_mode(network: Network, spec: NetworkSpec) -> None:
    if spec.mode and spec.mode != network.mode and Network.Mode.UPLINK in (spec.mode, network.mode):
        raise Invalid("A network does not become an uplink, nor an uplink a network. Make another one.", fields={"mode": [spec.mode]})
    if spec.adapter and spec.adapter != network.adapter:
        raise Invalid("An uplink keeps its adapter. Make another one.", fields={"adapter": [spec.adapter]})
    network.mode = spec.mode or network.mode


def _replace(network: Network, spec: NetworkSpec, host: Host, *, is_admin: bool) -> None:
    """New subnets, if they are new; never under NICs that have addresses in the old ones."""
    before4, before6 = (network.cidr4, network.gateway4), (network.cidr6, network.gateway6)
    if spec.cidr4:
        subnets.place4(network, spec.cidr4, host, is_admin=is_admin)
    if spec.cidr6 is not None and not (spec.cidr6 == subnets.AUTO and network.cidr6):
        subnets.place6(network, spec.cidr6, host, is_admin=is_admin)
    moved4 = (network.cidr4, network.gateway4) != before4
    moved6 = before6[0] and network.cidr6 and (network.cidr6, network.gateway6) != before6
    if (moved4 or moved6) and (users := _users(network)):
        message = f"Network {network.name} keeps its addresses while {users} have some of it. Detach those first, or make another network."
        raise Conflict(message, code="in_use", fields={"cidr4" if moved4 else "cidr6": ["in use"]})


def _fill(network: Network, spec: NetworkSpec) -> None:
    for name in PLAIN:
        if (value := getattr(spec, name)) is not None:
            setattr(network, name, _plain(value))
    subnets.set_pool(network, spec.dhcp_first, spec.dhcp_last)
    check_texts(network)
    try:
        network.clean_fields(exclude={column.name for column in Network._meta.fields} - set(CHECKED))
    except ValidationError as error:
        fields = error.message_dict
        raise Invalid("; ".join(f"{name}: {' '.join(texts)}" for name, texts in fields.items()), fields=fields) from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: canonical(address) for name, address in value.items()}
    return [canonical(address) for address in value] if isinstance(value, list | tuple) else value


def _save(network: Network, **how: Any) -> None:
    try:
        with transaction.atomic():
            network.save(**how)
    except IntegrityError as error:
        if Network.objects.filter(team=network.team_id, name=network.name).exclude(pk=network.pk).exists():
            message = f"The team has a network called {network.name}. Take another name."
            raise Conflict(message, code="name_taken", fields={"name": [network.name]}) from error
        raise Conflict("Somebody else took that subnet just now. Try again.", code="overlap") from error


def _share(network: Network, teams: Sequence[Team]) -> None:
    lost = set(network.shared_with.values_list("pk", flat=True)) - {team.pk for team in teams}
    if network.nics.filter(instance__team__in=lost).exists():
        names = sorted(Team.objects.filter(pk__in=lost, instances__nics__network=network).values_list("name", flat=True).distinct())
        raise Conflict(f"Instances of {', '.join(names)} are attached. Detach those first.", code="in_use", fields={"shared_with": names})
    network.shared_with.set(teams)


def _users(network: Network) -> str:
    """Who is attached, in words; a stranger's instance is not named (INV-15)."""
    rows = network.nics.values_list("instance__name", "instance__team").order_by("instance__name").distinct()
    names = [name for name, team in rows if team == network.team_id]
    words = names[:SHOWN_USERS] + ([f"{len(names) - SHOWN_USERS} more"] if len(names) > SHOWN_USERS else [])
    return ", ".join(words + (["instances of other teams"] if len(rows) > len(names) else []))


def _again(network: Network) -> Network:
    """The row as it is now, inside the transaction that changes it. Raises: NotFound, Conflict("wrong_state")."""
    row = Network.objects.select_related("host").filter(pk=network.pk).first()
    if row is None:
        raise NotFound
    if row.desired == Desired.ABSENT:
        raise Conflict(f"Network {row.name} is being deleted.", code="wrong_state")
    return row


def _free_uid(host: Host) -> int:
    used = set(Network.objects.filter(host=host).values_list("uid_offset", flat=True))
    if free := [offset for offset in env.network_offsets if offset not in used]:
        return free[0]
    raise Conflict(f"The host has room for {len(env.network_offsets)} networks, and has them. Ask an admin.", code="no_room")


def _asked(network: Network, verb: str, actor: Actor, details: dict[str, Any]) -> Operation:
    """The operation, the entry in the log, and after the commit the worker and the browsers."""
    operation = operations.begin(actor, verb, kind="network", target_id=network.pk, label=network.name, team_id=network.team_id)
    audit.record(
        actor,
        f"network.{verb}",
        kind="network",
        target_id=network.pk,
        label=network.name,
        team_id=network.team_id,
        details=details,
    )
    announce(network)
    return operation
