"""The lock of a host's row: what is given out one at a time (uids, subnets, addresses) is given out under it."""

from django.db.models import F

from opsweb.core.models import Host


def lock_host(host_id: int) -> None:
    """Write to the host's row: the second of two transactions waits for the first (both databases). Lock a team before."""
    Host.objects.filter(pk=host_id).update(schedulable=F("schedulable"))


def locked_host(host_id: int) -> Host:
    """The host as it is now, its row locked."""
    lock_host(host_id)
    return Host.objects.get(pk=host_id)
