"""Keeps the rules for user-mode guests as the rows want them. Called by instances.reconcile and the sweep."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from uuid import UUID

from networks.fabric.base import Endpoint, Guard, Redirect
from networks.fabric.names import bridge_name
from networks.models import Network, PortForward
from networks.reconcile.drivers import fabric
from networks.reconcile.turns import turn
from networks.states import Desired
from opsweb.core.models import Host
from opsweb.environment import env


@dataclass(frozen=True)
class GuestUser:
    """A VM that runs, or is about to: its uid, its team, its instance."""

    uid: int
    team_id: int
    instance_id: UUID


def keep_guard(host: Host, guests: Callable[[], Sequence[GuestUser]]) -> None:
    """Bring the rules for user-mode guests up to date; cheap when they are, or when another process does it for us meanwhile."""
    with turn("guard") as is_ours:
        guard = guard_for(host, guests()) if is_ours else None
        if guard and not fabric().guard_holds(guard):
            fabric().apply_guard(guard)


def guard_for(host: Host, guests: Sequence[GuestUser]) -> Guard:
    """Each VM's uid may reach its own team's live forwards on the host's loopback, and nothing else of the host.

    Forwards of a VM that is down, or whose port somebody else holds, are left out: nobody is led to what is not ours.
    """
    live = {guest.instance_id for guest in guests}
    rows, bridged_rows = [], []
    for row in PortForward.objects.filter(host=host, is_withdrawn=False).select_related("nic__network").order_by("pk"):
        if row.nic.network:
            bridged_rows.append(row)
        elif row.nic.instance_id in live:
            rows.append(row)
    strangers = fabric().busy(tuple(sorted({endpoint for row in rows for endpoint in _endpoints(row)})), ours=_uids())
    forwards = [row for row in rows if not strangers.keys() & _endpoints(row)]
    of_team: dict[int, list[Endpoint]] = defaultdict(list)
    for forward in forwards:
        of_team[forward.team_id].append(Endpoint(forward.protocol, forward.host_address, forward.host_port))
    bridged = _bridged(bridged_rows)
    return Guard(
        uid_first=env.uid_base,
        uid_last=env.uid_base + env.vm_offsets[-1],
        allowed={guest.uid: tuple(sorted(of_team[guest.team_id])) for guest in guests},
        redirects=tuple(
            sorted(
                Redirect(Endpoint(f.protocol, f.host_address, f.host_port), f.bound_port) for f in forwards if f.host_port != f.bound_port
            )
        ),
        bridged={guest.uid: bridged[guest.team_id] for guest in guests if guest.team_id in bridged},
        uplinks=_uplinks(host),
        shared_ports=env.shared_guest_ports,
        resolvers=host_resolvers(Path("/etc/resolv.conf").read_text()),
    )


def _bridged(rows: Iterable[PortForward]) -> dict[int, tuple[Endpoint, ...]]:
    """Team → where its forwards to bridged guests lead. What of them holds is the packet filter's to say: none is met but through it."""
    found: dict[int, set[Endpoint]] = defaultdict(set)
    for row in rows:
        nic = row.nic
        if nic.address4 and nic.network and nic.network.desired == Desired.PRESENT:  # the database says so of every NIC on a network
            found[row.team_id].add(Endpoint(row.protocol, nic.address4, row.guest_port))
    return {team_id: tuple(sorted(endpoints)) for team_id, endpoints in found.items()}


def _uplinks(host: Host) -> tuple[str, ...]:
    """Bridges that hold the host's own adapters: through them goes what leaves the host."""
    tags = Network.objects.filter(host=host, mode=Network.Mode.UPLINK).values_list("tag", flat=True)
    return tuple(sorted(bridge_name(env.installation, tag) for tag in tags))


def host_resolvers(text: str) -> tuple[str, ...]:
    """The addresses of resolv.conf(5)'s nameserver lines; what is no address is nobody's resolver."""
    lines = (line.split() for line in text.splitlines())
    return tuple(words[1] for words in lines if len(words) > 1 and words[0] == "nameserver" and _is_address(words[1]))


def _is_address(word: str) -> bool:
    try:
        ip_address(word)
    except ValueError:
        return False
    return True


def busy_ports(wanted: tuple[Endpoint, ...]) -> dict[Endpoint, str]:
    """Those that some process of the host already listens on, with who it is."""
    return fabric().busy(wanted)


def foreign_addresses(wanted: tuple[Endpoint, ...]) -> frozenset[str]:
    """Their addresses that this host does not have."""
    return fabric().foreign(frozenset(endpoint.address for endpoint in wanted))


def strangers_on(wanted: tuple[Endpoint, ...]) -> dict[Endpoint, str]:
    """Those that somebody holds who is no VM of ours."""
    return fabric().busy(wanted, ours=_uids())


def wanted_ports(instance_id: UUID) -> tuple[Endpoint, ...]:
    """What the instance's forwards need on the host."""
    rows = PortForward.objects.filter(nic__instance_id=instance_id, is_withdrawn=False)
    return tuple(sorted({endpoint for row in rows for endpoint in _endpoints(row)}))


def _endpoints(row: PortForward) -> set[Endpoint]:
    """What a forward needs on the host: its port, and the one that QEMU binds in its place."""
    return {Endpoint(row.protocol, row.host_address, port) for port in (row.host_port, row.bound_port)}


def _uids() -> range:
    return range(env.uid_base, env.uid_base + env.vm_offsets.stop)
