"""What is taken and what is left: of a team's quota, of a host. Called by every service that makes something bigger."""

import shutil
from collections.abc import Sequence

from django.db.models import Count, Sum

from instances.models import Instance
from instances.states import Desired
from opsweb.core.errors import Conflict
from opsweb.core.models import Host
from opsweb.environment import env
from opsweb.teams.models import Team
from opsweb.teams.services import Usage


def used_by(team: Team) -> Usage:
    """What the team's instances take, stopped ones included. One query."""
    return used_by_teams([team])[team.pk]


def used_by_teams(teams: Sequence[Team]) -> dict[int, Usage]:
    """The same for several teams, by id. One query."""
    rows = Instance.objects.filter(team__in=teams).order_by().values_list("team")
    sums = rows.annotate(Count("pk"), Sum("vcpus"), Sum("memory_mib"))
    return {team.pk: Usage() for team in teams} | {team: Usage(*amounts) for team, *amounts in sums}


def check_room(host: Host, instance: Instance) -> None:
    """Raises: Conflict("no_room") when the host can't hold it beside what is wanted to run there."""
    if host.vcpus and instance.vcpus > host.vcpus:
        raise Conflict(
            f"The host has {host.vcpus} vCPUs; one instance can't have {instance.vcpus}.", code="no_room", fields={"vcpus": [host.vcpus]}
        )
    wanted = Instance.objects.filter(host=host, desired__in=(Desired.RUNNING, Desired.PAUSED)).exclude(pk=instance.pk)
    taken = wanted.aggregate(memory=Sum("memory_mib", default=0))["memory"]
    if host.memory_mib and taken + instance.memory_mib > host.memory_mib:
        message = f"The host has {host.memory_mib} MiB, {taken} MiB of them promised; {instance.memory_mib} MiB more do not fit."
        raise Conflict(message, code="no_room", fields={"memory_mib": [host.memory_mib - taken]})


DISK_RESERVE = 1024**3  # bytes: consoles, database and logs go on when uploads and images may not


def check_disk(wanted: int) -> None:
    """Raises: Conflict("no_room") when `wanted` bytes more would leave the state directory's disk without its reserve."""
    free = shutil.disk_usage(env.state_dir).free
    if wanted + DISK_RESERVE > free:
        message = f"The host's disk has {free // 1024**2} MiB left; this would need {wanted // 1024**2} MiB and leave too little."
        raise Conflict(f"{message} Delete images, or ask an admin for room.", code="no_room")
