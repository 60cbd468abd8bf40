"""The worker's tasks of networks: each carries one id and calls reconcile. Safe to lose, double or repeat."""

from uuid import UUID

from celery import shared_task

from networks.reconcile.converge import converge as reconcile_network
from networks.reconcile.filter import refresh_filter as reconcile_filter


@shared_task(name="networks.converge", ignore_result=True)
def converge(network_id: str) -> None:
    """Bring one network to its wish."""
    reconcile_network(UUID(network_id))


@shared_task(name="networks.keep_filter", ignore_result=True)
def keep_filter(host_id: str) -> None:
    """Make the host's packet filter that of its rows."""
    reconcile_filter(int(host_id))
