"""What is taken and what is left: of a team's quota, of a host. Called by every service that makes something bigger."""

from django.db.models import Sum

from instances.models import Instance
from instances.states import Desired
from opsweb.core.errors import Conflict
from opsweb.core.models import Host
from opsweb.teams.models import Team
from opsweb.teams.services import Usage


def used_by(team: Team) -> Usage:
    """What the team's instances take, stopped ones included. One query."""
    sums = Instance.objects.filter(team=team).aggregate(vcpus=Sum("vcpus", default=0), memory=Sum("memory_mib", default=0))
    return Usage(Instance.objects.filter(team=team).count(), sums["vcpus"], sums["memory"])


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
