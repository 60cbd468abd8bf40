"""Writes of NICs and port forwards. Called by instances.services inside its transactions."""

import random
from collections.abc import Sequence
from ipaddress import IPv4Address, ip_address

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from networks.models import Nic, PortForward, PublishedAddress
from networks.ports import ANY_ADDRESS, PortMap
from networks.services.announce import announce_rules
from networks.services.quota import take
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, Forbidden, Invalid
from opsweb.core.models import Host
from opsweb.environment import env
from opsweb.teams.services import Usage

LOOPBACK = "127.0.0.1"
LOWEST_UNPRIVILEGED = 1024
STAND_IN_PORTS = range(61_000, 65_000)  # above Linux's default ephemeral range; what QEMU binds for a port under 1024


def set_forwards(nic: Nic, maps: Sequence[PortMap], *, host: Host, team_id: int, actor: Actor) -> None:
    """Make the NIC's forwards exactly these, inside the caller's transaction.

    Raises: Conflict("port_busy") that names the taker, Conflict("quota"), Invalid, Forbidden for an address that nobody published.
    """
    kept, new = _sorted_out(nic, maps, actor)
    for wanted in new:
        _check(wanted, host, team_id, actor)
    nic.forwards.exclude(pk__in=kept).delete()
    _refuse_taken(new, host, team_id)
    take(team_id, Usage(forwards=len(new)))
    for wanted in new:
        _create(nic, wanted, host, team_id)
    if nic.network is not None:
        announce_rules(host)


def _sorted_out(nic: Nic, maps: Sequence[PortMap], actor: Actor) -> tuple[list[int], list[PortMap]]:
    """The rows that may stay as they are, and the maps that have none: what an admin opened survives an edit by others.

    A withdrawn one stays withdrawn, unless it is an admin who asks for it.
    """
    rows = {
        (f.protocol, f.host_address, f.host_port, f.guest_port): f.pk
        for f in nic.forwards.all()
        if not (f.is_withdrawn and actor.superuser)
    }
    by_row = {(m.protocol, m.host_address or LOOPBACK, m.host_port, m.guest_port): m for m in maps}
    return [pk for row, pk in rows.items() if row in by_row], [wanted for row, wanted in by_row.items() if row not in rows]


def _check(wanted: PortMap, host: Host, team_id: int, actor: Actor) -> None:
    address = IPv4Address(wanted.host_address or LOOPBACK)
    if not address.is_loopback and not actor.superuser and not _is_published(wanted, host, team_id):
        ports = [f"{row.address} ports {row.port_first}-{row.port_last}" for row in published(host, team_id)]
        advice = f"Published to the team: {', '.join(ports)}." if ports else "An admin can publish one."
        raise Forbidden(
            f"Port {wanted.host_port} of {address} is not published. Leave the address out to use {LOOPBACK}. {advice}",
            code="address_not_published",
        )
    if wanted.protocol == "tcp" and wanted.host_port in _own_ports():
        raise Conflict(
            f"Port {wanted.host_port} is the panel's own. Take another one.", code="port_busy", fields={"ports": [wanted.host_port]}
        )


def _own_ports() -> set[int]:
    """The panel's, and those of a database or redis beside it: while one restarts, a guest would be asked in its place."""
    return {env.port} | {port for name, port in env.backends if name == "localhost" or _is_loopback(name)}


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def published(host: Host, team_id: int) -> QuerySet[PublishedAddress]:
    """What an admin opened to the team on this host, or to every team."""
    return _open_to(team_id).filter(host=host)


def published_here(team_id: int) -> QuerySet[PublishedAddress]:
    """The same of the panel's own host, where a new instance will be."""
    return _open_to(team_id).filter(host__name=env.host)


def _open_to(team_id: int) -> QuerySet[PublishedAddress]:
    return PublishedAddress.objects.filter(Q(teams=team_id) | Q(teams=None)).distinct()


def _is_published(wanted: PortMap, host: Host, team_id: int) -> bool:
    """All addresses published means each of them, too; one published does not mean all."""
    rows = published(host, team_id).filter(address__in=(wanted.host_address, ANY_ADDRESS))
    return rows.filter(port_first__lte=wanted.host_port, port_last__gte=wanted.host_port).exists()


def _refuse_taken(maps: Sequence[PortMap], host: Host, team_id: int) -> None:
    wanted = {(m.protocol, m.host_port) for m in maps}
    taken = PortForward.objects.filter(host=host, host_port__in=[port for _, port in wanted]).select_related("nic__instance")
    for forward in taken:
        if (forward.protocol, forward.host_port) in wanted:
            raise _taken(forward, team_id)


def _taken(forward: PortForward, team_id: int) -> Conflict:
    who = f"instance {forward.nic.instance.name}" if forward.team_id == team_id else "another team"
    message = f"Port {forward.host_port}/{forward.protocol} is used by {who}. Take another host port, for example with HOST:GUEST."
    return Conflict(message, code="port_busy", fields={"ports": [forward.host_port]})


def _create(nic: Nic, wanted: PortMap, host: Host, team_id: int) -> None:
    try:
        with transaction.atomic():
            PortForward.objects.create(
                nic=nic,
                host=host,
                team_id=team_id,
                protocol=wanted.protocol,
                host_address=wanted.host_address or LOOPBACK,
                host_port=wanted.host_port,
                guest_port=wanted.guest_port,
                bound_port=_bound_port(wanted.protocol, wanted.host_port, nic, host),
            )
    except IntegrityError as error:
        message = f"Port {wanted.host_port}/{wanted.protocol} was taken by somebody else just now. Take another one."
        raise Conflict(message, code="port_busy", fields={"ports": [wanted.host_port]}) from error


def rebind(nic: Nic) -> None:
    """After the NIC went from user mode to a network or back: low ports lose or get their stand-in."""
    for forward in nic.forwards.filter(host_port__lt=LOWEST_UNPRIVILEGED).select_related("host"):
        if (forward.bound_port == forward.host_port) != (nic.network_id is not None):
            bound_port = _bound_port(forward.protocol, forward.host_port, nic, forward.host)
            PortForward.objects.filter(pk=forward.pk).update(bound_port=bound_port)


def _bound_port(protocol: str, host_port: int, nic: Nic, host: Host) -> int:
    """Nobody binds a port that leads to a network: the filter rewrites its packets, whatever its number."""
    if host_port >= LOWEST_UNPRIVILEGED or nic.network_id is not None:
        return host_port
    used = set(PortForward.objects.filter(host=host, protocol=protocol).values_list("bound_port", flat=True))
    free = [port for port in STAND_IN_PORTS if port not in used]
    if not free:
        raise Invalid("No stand-in port is left for a port under 1024. Take one above.")
    return random.choice(free)  # noqa: S311  # spread, not secrecy


def free_port(host: Host, wanted: int, protocol: str = "tcp") -> int:
    """`wanted`, or the next port that no forward of this host has."""
    used = set(PortForward.objects.filter(host=host, protocol=protocol).values_list("host_port", flat=True))
    return next(port for port in range(wanted, 65_536) if port not in used)
