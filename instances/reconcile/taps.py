"""Keeps the host's taps those of running VMs: one that a stranger deleted comes back, one that nobody has goes (INV-03)."""

import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from instances.hypervisor.base import DriverError, Hypervisor, Power
from instances.models import Instance
from instances.reconcile.plugging import nic_plan, taps_begun, taps_of_boot
from instances.reconcile.steps import StepFailed
from instances.states import Observed
from networks.fabric.base import Drift, FabricError
from networks.fabric.names import tag_of, tap_name
from networks.models import Nic
from networks.plans import network_plan
from networks.reconcile.drivers import fabric
from networks.reconcile.filter import keep_filter
from networks.reconcile.record import write_drift
from opsweb.core.models import Host
from opsweb.environment import env

log = logging.getLogger(__name__)

LIVE = (Power.RUNNING, Power.PAUSED)
REAP_AFTER = 60.0  # seconds that a tap must have been nobody's: a start that is on its way is over by then


def keep_taps(driver: Hypervisor, host: Host) -> None:
    """One look at all taps of this host, and what follows from it."""
    running = list(Instance.objects.filter(host=host, observed__in=(Observed.RUNNING, Observed.PAUSED)).only("applied"))
    wanted = {tap: instance.pk for instance in running for tap in taps_of_boot(instance)}
    coming = {tap for instance in running for tap in taps_begun(instance)}
    present = set(fabric().taps())
    for instance_id in {wanted[tap] for tap in wanted.keys() - present}:
        with _one_at_a_time(f"taps of {instance_id}"):
            _give_back(driver, instance_id)
    for tap in _old_strays(present - wanted.keys() - coming):
        with _one_at_a_time(f"tap {tap}"):
            _take_away(driver, tap)


@contextmanager
def _one_at_a_time(what: str) -> Iterator[None]:
    """One that fails does not keep the others from their turn."""
    try:
        yield
    except (DriverError, FabricError, StepFailed, OSError) as error:
        log.warning("sweep: %s: %s", what, error)


def _give_back(driver: Hypervisor, instance_id: UUID) -> None:
    with driver.lock(instance_id):
        instance = Instance.objects.select_related("host").filter(pk=instance_id).first()
        seen = driver.observe(instance_id)
        if instance is None or seen.power not in LIVE:
            return
        gone = taps_of_boot(instance).keys() - set(fabric().taps())
        for nic in instance.nics.filter(network__isnull=False).select_related("network"):
            tap = tap_name(env.installation, nic.tag)
            if tap in gone and taps_of_boot(instance)[tap]["network"] == str(nic.network_id):
                with _one_at_a_time(f"tap {tap}"):
                    _replug(driver, instance, nic)


def _replug(driver: Hypervisor, instance: Instance, nic: Nic) -> None:
    assert nic.network is not None
    network = network_plan(nic.network)
    keep_filter(instance.host)
    with driver.tap_of(instance.pk, nic.mac) as descriptors, fabric().lock(network.bridge):
        fabric().replug(network, nic_plan(network, nic), descriptors)
        log.warning("tap %s of %s was gone; it has it back", nic.name, instance.pk)
        nic.network.refresh_from_db()
        is_own = instance.team_id == nic.network.team_id
        drift = Drift(f"tap {nic.name} of {instance.name}" if is_own else "tap of another team's instance", "was gone")
        write_drift(nic.network, [drift], is_mended=True)


def _take_away(driver: Hypervisor, tap: str) -> None:
    owner = Nic.objects.filter(tag=tag_of(tap)).values_list("instance_id", flat=True).first()
    log.warning("sweep: tap %s is nobody's, taking it away", tap)
    if owner is None:
        fabric().unplug(tap)
        return
    with driver.lock(owner):
        if driver.observe(owner).power not in LIVE:
            fabric().unplug(tap)


def _old_strays(strays: set[str]) -> list[str]:
    """Those of `strays` that were it for REAP_AFTER already. A link has no age; the file's clock is the host's uptime (INV-21)."""
    path, now = env.run_dir / "stray-taps.json", time.monotonic()
    known: dict[str, float] = {}
    with suppress(FileNotFoundError, ValueError):
        known = json.loads(path.read_text())
    since = {tap: min(known.get(tap, now), now) for tap in strays}
    if not since:
        path.unlink(missing_ok=True)
    elif since != known:
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(since))
        fresh.replace(path)
    return sorted(tap for tap, at in since.items() if now - at >= REAP_AFTER)
