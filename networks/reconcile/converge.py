"""The reconciler of networks: looks, makes the host match the row, writes back what is so.

Safe to run twice, at once, late or after a crash: the row is the truth, the host is looked at anew each time (INV-02, INV-05).
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from uuid import UUID

from django.db import transaction

from networks.fabric.base import Drift, Fabric, FabricError, NetworkPlan
from networks.fabric.names import bridge_name
from networks.models import Network
from networks.plans import network_plan
from networks.reconcile.drivers import fabric
from networks.reconcile.filter import keep_filter, strangers
from networks.reconcile.record import is_due, write_drift, write_failed, write_leases, write_up
from networks.services.announce import tell
from networks.states import Desired
from opsweb.core import operations
from opsweb.core.models import Operation
from opsweb.environment import env

log = logging.getLogger(__name__)


def converge(network_id: UUID, *, with_filter: bool = True) -> None:
    """Bring one network to its wish. The sweep brings the filter up to date once for all of them."""
    row = Network.objects.filter(pk=network_id, host__name=env.host).first()  # a message may name anything (SEC-D2)
    if row is None:
        return  # the sweep reaps what it left
    driver = fabric()
    with driver.lock(bridge_name(env.installation, row.tag)):
        network = Network.objects.select_related("host", "team").filter(pk=network_id).first()
        if network is None:
            return
        operation = operations.active("network", network.pk)
        if operation is not None:
            operations.claim(operation)
            network.refresh_from_db()  # after the operation: its own wish, or a newer one, never an older
        try:
            if network.desired == Desired.ABSENT:
                _remove(driver, network, operation)
            else:
                _make(driver, network, operation, with_filter=with_filter)
        except FabricError as error:
            _fail(network, operation, error.code, error.message)
        except Exception:  # a mistake of ours: whoever waits is told, and nobody waits for ever
            log.exception("network %s", network.pk)
            _fail(network, operation, "internal", "Something went wrong in the panel. The worker's log says what; tell an admin.")


def _make(driver: Fabric, network: Network, operation: Operation | None, *, with_filter: bool) -> None:
    plan = network_plan(network)
    with operations.step(operation, "preflight"):
        differences = driver.drift(plan)
        warnings = _preflight(driver, network, plan, differences) if operation or differences or is_due(network) else None
    if with_filter or differences:
        with operations.step(operation, "rules"):
            keep_filter(network.host)
    drifted: Sequence[Drift] = ()
    if differences:
        with operations.step(operation, "bridge and dnsmasq"):
            drifted = _apply(driver, network, plan, differences)
    write_leases(network, driver.leases(network.pk))
    write_up(network, warnings=warnings, drift=drifted)
    if operation is not None:
        operations.finish(operation, Operation.Status.SUCCEEDED)


def _preflight(driver: Fabric, network: Network, plan: NetworkPlan, differences: Sequence[Drift]) -> list[dict[str, str]]:
    """The warnings. A network that stands as it should goes on in spite of what would forbid to make it."""
    findings = driver.preflight(plan)
    if differences and (fatal := [finding for finding in findings if finding.fatal]):
        raise FabricError(fatal[0].code, " ".join(finding.message for finding in fatal))
    return [*({"code": finding.code, "message": finding.message} for finding in findings), *_held(network)]


def _apply(driver: Fabric, network: Network, plan: NetworkPlan, differences: Sequence[Drift]) -> Sequence[Drift]:
    """Returns the drift: what differs although the plan is the one that was applied last is somebody else's doing."""
    digest = _digest(plan)
    drifted = differences if network.applied == digest else ()
    try:
        driver.apply_network(plan)
    except FabricError:
        write_drift(network, drifted, is_mended=False)
        raise
    network.applied = digest
    Network.objects.filter(pk=network.pk).update(applied=digest)
    return drifted


def _digest(plan: NetworkPlan) -> str:
    """Of all that bridge, addresses and dnsmasq are made from; rules, rates and forwards are the filter's."""
    nics = tuple(sorted((replace(nic, rules=(), firm=(), forwards=(), rate_kbit=0) for nic in plan.nics), key=lambda nic: nic.tap))
    return sha256(repr(replace(plan, nics=nics, linked=())).encode()).hexdigest()


def _held(network: Network) -> list[dict[str, str]]:
    """Ports of its forwards that a program of the host listens on: they lead nowhere until it ends."""
    return [
        {"code": "port_busy", "message": f"Port {endpoint.port}/{endpoint.protocol} of the host is in use by {who}; nothing is forwarded."}
        for endpoint, who in sorted(strangers(network=network.pk).items())
    ]


def _remove(driver: Fabric, network: Network, operation: Operation | None) -> None:
    if network.nics.exists():
        raise FabricError("in_use", f"Network {network.name} has NICs attached. Detach those first.")
    with operations.step(operation, "bridge and dnsmasq"):
        driver.remove_network(network.pk, bridge_name(env.installation, network.tag))
    with operations.step(operation, "rules"):
        keep_filter(network.host)
    with transaction.atomic():
        if operation is not None:
            operations.finish(operation, Operation.Status.SUCCEEDED)
        tell(network)
        network.delete()


def _fail(network: Network, operation: Operation | None, code: str, message: str) -> None:
    """The wish stands; the sweep tries again."""
    log.warning("network %s: %s: %s", network.pk, code, message)
    with transaction.atomic():
        if operation is not None:
            operations.finish(operation, Operation.Status.FAILED, code, message)
        write_failed(network, message)
