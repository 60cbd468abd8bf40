"""The worker's tasks: each carries one id and calls reconcile. Early acknowledgement; safe to lose, double or repeat."""

from uuid import UUID

from celery import shared_task

from instances.reconcile.converge import apply_forwards as reconcile_forwards
from instances.reconcile.converge import converge as reconcile_instance
from instances.reconcile.drivers import hypervisor
from instances.reconcile.host import inspect_host as reconcile_host
from instances.reconcile.images import converge_image
from instances.reconcile.sweep import sweep as reconcile_all
from instances.reconcile.taps import keep_taps as reconcile_taps
from opsweb.core.models import Host
from opsweb.environment import env


@shared_task(name="instances.converge", ignore_result=True)
def converge(instance_id: str) -> None:
    """Bring one VM to its wish."""
    reconcile_instance(UUID(instance_id))


@shared_task(name="instances.apply_forwards", ignore_result=True)
def apply_forwards(instance_id: str) -> None:
    """Make a running VM's port forwards those of its row."""
    reconcile_forwards(UUID(instance_id))


@shared_task(name="instances.keep_taps", ignore_result=True)
def keep_taps() -> None:
    """A tap of this host came or went: give back what somebody deleted under a running VM."""
    reconcile_taps(hypervisor(), Host.objects.get(name=env.host))


@shared_task(name="instances.build_image", ignore_result=True)
def build_image(image_id: str) -> None:
    """Build an image."""
    converge_image(UUID(image_id))


@shared_task(name="instances.erase_image", ignore_result=True)
def erase_image(image_id: str) -> None:
    """Erase an image that nobody wants any more."""
    converge_image(UUID(image_id))


@shared_task(name="instances.sweep", ignore_result=True)
def sweep() -> None:
    """Look at everything of this host."""
    reconcile_all()


@shared_task(name="instances.inspect_host", ignore_result=True)
def inspect_host() -> None:
    """Find out what this host can do."""
    reconcile_host()
