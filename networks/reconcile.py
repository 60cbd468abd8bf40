"""Keeps the host's network as the rows want it. Holds the live fabric driver; called by instances.reconcile and the sweep."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from uuid import UUID

from networks.fabric.base import Endpoint, Fabric, Guard, Redirect
from networks.fabric.fake import FakeFabric
from networks.fabric.linux import LinuxFabric
from networks.models import PortForward
from opsweb.core.models import Host
from opsweb.environment import env


@cache
def fabric() -> Fabric:
    """This host's driver."""
    if env.driver == "fake":
        return FakeFabric(env.installation, env.run_dir)
    return LinuxFabric(env.installation, env.run_dir)


@dataclass(frozen=True)
class GuestUser:
    """A VM that runs, or is about to: its uid, its team, its instance."""

    uid: int
    team_id: int
    instance_id: UUID


def keep_guard(host: Host, guests: Callable[[], Sequence[GuestUser]]) -> None:
    """Bring the rules for user-mode guests up to date; cheap when they are. Read, rendered and applied under one lock."""
    driver = fabric()
    with driver.lock("guard"):
        guard = guard_for(host, guests())
        if not driver.guard_holds(guard):
            driver.apply_guard(guard)


def guard_for(host: Host, guests: Sequence[GuestUser]) -> Guard:
    """Each VM's uid may reach its own team's live forwards on the host's loopback, and nothing else of the host.

    Forwards of a VM that is down, or whose port somebody else holds, are left out: nobody is led to what is not ours.
    """
    rows = list(PortForward.objects.filter(host=host, nic__instance_id__in=[guest.instance_id for guest in guests]))
    strangers = fabric().busy(tuple(sorted({endpoint for row in rows for endpoint in _endpoints(row)})), ours=_uids())
    forwards = [row for row in rows if not strangers.keys() & _endpoints(row)]
    of_team: dict[int, list[Endpoint]] = defaultdict(list)
    for forward in forwards:
        of_team[forward.team_id].append(Endpoint(forward.protocol, forward.host_address, forward.host_port))
    return Guard(
        uid_first=env.uid_base,
        uid_last=env.uid_base + env.uid_count - 1,
        allowed={guest.uid: tuple(sorted(of_team[guest.team_id])) for guest in guests},
        redirects=tuple(
            sorted(
                Redirect(Endpoint(f.protocol, f.host_address, f.host_port), f.bound_port) for f in forwards if f.host_port != f.bound_port
            )
        ),
        shared_ports=env.shared_guest_ports,
        resolvers=host_resolvers(Path("/etc/resolv.conf").read_text()),
    )


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
    rows = PortForward.objects.filter(nic__instance_id=instance_id)
    return tuple(sorted({endpoint for row in rows for endpoint in _endpoints(row)}))


def _endpoints(row: PortForward) -> set[Endpoint]:
    """What a forward needs on the host: its port, and the one that QEMU binds in its place."""
    return {Endpoint(row.protocol, row.host_address, port) for port in (row.host_port, row.bound_port)}


def _uids() -> range:
    return range(env.uid_base, env.uid_base + env.uid_count)
