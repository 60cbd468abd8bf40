"""The lock of a host's row: what is given out one at a time (uids, subnets, addresses) is given out under it."""

from django.db.models import F

from opsweb.core.models import Host


def lock_host(host_id: int) -> Host:
    """The host, with its row written to: the second of two transactions waits for the first (both databases). Lock a team before."""
    Host.objects.filter(pk=host_id).update(schedulable=F("schedulable"))
    return Host.objects.get(pk=host_id)
