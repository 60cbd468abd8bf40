"""Keeps the rules for user-mode guests as the rows want them. Called by instances.reconcile and the sweep."""

from collections import defaultdict
from collections.abc import Callable, Sequence
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
    bound = PortForward.objects.filter(nic__network=None, is_withdrawn=False)
    rows = list(bound.filter(host=host, nic__instance_id__in=[guest.instance_id for guest in guests]))
    strangers = fabric().busy(tuple(sorted({endpoint for row in rows for endpoint in _endpoints(row)})), ours=_uids())
    forwards = [row for row in rows if not strangers.keys() & _endpoints(row)]
    of_team: dict[int, list[Endpoint]] = defaultdict(list)
    for forward in forwards:
        of_team[forward.team_id].append(Endpoint(forward.protocol, forward.host_address, forward.host_port))
    bridged = _bridged(host)
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


def _bridged(host: Host) -> dict[int, tuple[Endpoint, ...]]:
    """Team → where its forwards to bridged guests lead. What of them holds is the packet filter's to say: none is met but through it."""
    open_ones = PortForward.objects.filter(host=host, nic__network__desired=Desired.PRESENT, is_withdrawn=False)
    rows = open_ones.values_list("team_id", "protocol", "nic__address4", "guest_port")
    found: dict[int, set[Endpoint]] = defaultdict(set)
    for team_id, protocol, address, port in rows:
        if address:  # the database says so of every NIC on a network
            found[team_id].add(Endpoint(protocol, address, port))
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


def busy_forwards(instance_id: UUID) -> dict[Endpoint, str]:
    """Ports of the instance's forwards that some process of the host already listens on, with who it is."""
    return fabric().busy(_wanted(instance_id))


def foreign_addresses(instance_id: UUID) -> frozenset[str]:
    """Addresses of the instance's forwards that this host does not have."""
    return fabric().foreign(frozenset(endpoint.address for endpoint in _wanted(instance_id)))


def strangers_on_forwards(instance_id: UUID) -> dict[Endpoint, str]:
    """The same of a VM that runs: ports that it holds itself do not count."""
    return fabric().busy(_wanted(instance_id), ours=_uids())


def _wanted(instance_id: UUID) -> tuple[Endpoint, ...]:
    rows = PortForward.objects.filter(nic__instance_id=instance_id, is_withdrawn=False)
    return tuple(sorted({endpoint for row in rows for endpoint in _endpoints(row)}))


def _endpoints(row: PortForward) -> set[Endpoint]:
    """What a forward needs on the host: its port, and the one that QEMU binds in its place."""
    return {Endpoint(row.protocol, row.host_address, port) for port in (row.host_port, row.bound_port)}


def _uids() -> range:
    return range(env.uid_base, env.uid_base + env.vm_offsets.stop)
