"""The pass every few seconds that makes the queue a mere hint: everything wanted here is converged, everything unknown is reaped."""

import logging
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar
from uuid import UUID

from django.utils import timezone

from instances.hypervisor.base import DriverError, Hypervisor
from instances.models import Image, Instance
from instances.reconcile.converge import converge, keep_host_guard
from instances.reconcile.drivers import hypervisor
from instances.reconcile.images import converge_image
from instances.reconcile.taps import keep_taps
from instances.services.uploads import discard_stale
from networks.fabric.base import FabricError
from networks.reconcile.sweep import sweep_networks
from opsweb.core import operations
from opsweb.core.models import Host, Operation
from opsweb.environment import env

T = TypeVar("T")

log = logging.getLogger(__name__)

REAP_AFTER = 60  # seconds: younger directories may belong to a create whose row we have not seen


def sweep() -> None:
    """One pass over this host."""
    host = Host.objects.get(name=env.host)
    Host.objects.filter(pk=host.pk).update(worker_seen_at=timezone.now())
    sweep_networks(host)
    _each("guard", [host], keep_host_guard)
    _each("image", Image.objects.filter(host=host, digest="", error="").values_list("pk", flat=True), converge_image)
    _each("image", Image.objects.filter(host=host, is_wanted=False).values_list("pk", flat=True), converge_image)
    _each("instance", Instance.objects.filter(host=host).values_list("pk", flat=True), converge)
    reap(hypervisor())
    _each("taps", [host], partial(keep_taps, hypervisor()))
    end_orphans()
    discard_stale()


def _each(what: str, targets: Iterable[T], act: Callable[[T], None]) -> None:
    """One that fails does not keep the others from their turn; the next pass tries it again."""
    for target in targets:
        try:
            act(target)
        except (DriverError, FabricError, OSError) as error:
            log.warning("sweep: %s %s: %s", what, target, error)
        except Exception:  # a row or a guest that we did not think of: its own trouble, not the host's
            log.exception("sweep: %s %s", what, target)


def reap(driver: Hypervisor) -> list[UUID]:
    """Erase VMs that no row wants, once they are old enough that no create can be on its way."""
    known = set(Instance.objects.values_list("pk", flat=True))
    gone = [vm for vm in driver.list() if vm not in known and _age(driver, vm) > REAP_AFTER]

    def erase(vm: UUID) -> None:
        with driver.lock(vm):
            log.warning("sweep: nobody knows VM %s, erasing it", vm)
            driver.erase(vm)

    _each("leftover", gone, erase)
    return gone


def _age(driver: Hypervisor, vm: UUID) -> float:
    paths = driver.paths(vm)
    times = [path.stat().st_mtime for path in (paths.run, paths.state) if path.exists()]
    return time.time() - max(times, default=0)


def end_orphans() -> None:
    """Operations whose target is gone have nothing left to do."""
    active = Operation.objects.filter(status__in=Operation.ACTIVE)
    for kind, model in (("instance", Instance), ("image", Image)):
        rows = active.filter(kind=kind)
        known = set(model.objects.filter(pk__in=[row.target_id for row in rows]).values_list("pk", flat=True))
        for row in rows:
            if row.target_id not in known:
                status = Operation.Status.SUCCEEDED if row.verb == "delete" else Operation.Status.FAILED
                operations.finish(row, status, "", "" if row.verb == "delete" else "Its target is gone.")
