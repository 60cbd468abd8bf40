"""Keeps the host's packet filter as the rows of all its networks want it."""

import logging
from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from networks.fabric.base import Drift, Endpoint, Fabric, FabricError, NetworkPlan
from networks.models import Network, PortForward
from networks.plans import plans, sound
from networks.reconcile.drivers import fabric
from networks.reconcile.record import write_drift
from networks.states import Desired, Observed
from opsweb.core.models import Host
from opsweb.core.queue import enqueue
from opsweb.environment import env

log = logging.getLogger(__name__)

DRIFT = Drift("filter", "was changed by somebody")


def keep_filter(host: Host) -> None:
    """Bring the filter up to date; cheap when it is. Read, rendered and applied under one lock. Raises: FabricError."""
    driver = fabric()
    with driver.lock("filter"):
        wanted = plans(host, held=strangers(host=host.pk).keys())
        try:
            drifted = _bring(driver, host, wanted)
        except FabricError as error:
            if error.code != "bad_network":
                raise
            drifted = _bring(driver, host, sound(wanted))  # one bad row stops nobody else (SEC-G2)
    if drifted:
        for network in Network.objects.filter(host=host, desired=Desired.PRESENT, observed=Observed.UP):
            write_drift(network, [DRIFT], is_mended=True)


def _bring(driver: Fabric, host: Host, wanted: Sequence[NetworkPlan]) -> bool:
    """Whether it was another than the one we applied last. A changed wish is not looked for in the kernel first: that takes time."""
    digest = _digest(wanted)
    is_known = Host.objects.filter(pk=host.pk, filter_applied=digest).exists()
    if is_known and driver.filter_holds(wanted):
        return False
    driver.apply_filter(wanted)
    Host.objects.filter(pk=host.pk).update(filter_applied=digest)
    return is_known


def refresh_filter(host_id: int) -> None:
    """The same for a change of rules, which nobody waits for: what goes wrong is said by the networks' own pass."""
    host = Host.objects.filter(pk=host_id, name=env.host).first()
    if host is None:
        return
    try:
        keep_filter(host)
    except FabricError as error:
        log.warning("filter of %s: %s: %s", host, error.code, error.message)
        for network in Network.objects.filter(host=host, desired=Desired.PRESENT):
            enqueue("networks.converge", host.queue, str(network.pk))


def _digest(wanted: Sequence[NetworkPlan]) -> str:
    return sha256(repr(sorted(wanted, key=lambda plan: plan.bridge)).encode()).hexdigest()


def strangers(*, host: int | None = None, network: UUID | None = None) -> dict[Endpoint, str]:
    """Ports of forwards into networks (of a host, or of one network) that some process of the host listens on, with who it is."""
    rows = PortForward.objects.exclude(nic__network=None).filter(is_withdrawn=False)
    rows = rows.filter(host=host) if host is not None else rows.filter(nic__network=network)
    endpoints = tuple(sorted({Endpoint(row.protocol, row.host_address, row.host_port) for row in rows}))
    return fabric().busy(endpoints, ours=range(env.uid_base, env.uid_base + env.vm_offsets.stop)) if endpoints else {}
