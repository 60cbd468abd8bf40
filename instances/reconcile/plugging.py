"""Taps of instances: made before QEMU starts, taken away once it has ended. Called under the VM's lock.

Everything else of a network (bridge, addresses, dnsmasq, filter) is its own reconciler's; `taps` mends what strangers do to ours.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instances.models import Instance
from instances.reconcile.steps import NotYet, StepFailed
from networks.fabric.base import FabricError, NetworkPlan, NicPlan
from networks.fabric.names import tap_name
from networks.models import Network, Nic
from networks.plans import network_plan
from networks.reconcile.drivers import fabric
from networks.reconcile.filter import keep_filter
from networks.sharing import usable_by
from networks.states import Observed
from opsweb.core import operations
from opsweb.core.models import Operation
from opsweb.core.queue import enqueue
from opsweb.environment import env

log = logging.getLogger(__name__)

RETRY_SECONDS = 1  # between looks at a network that is not up yet
MAX_QUEUES = 8
VHOST_NET = Path("/dev/vhost-net")


@dataclass(frozen=True)
class Plug:
    """A NIC on a network whose tap is there: what the network is like, and the tap's descriptors for QEMU."""

    network: NetworkPlan
    nic: NicPlan
    is_fixed: bool  # the guest is told its addresses
    fds: tuple[int, ...]


Plugs = Mapping[int, Plug]  # by the NIC's position


@contextmanager
def plugged(instance: Instance, nics: Sequence[Nic], operation: Operation | None) -> Iterator[Plugs]:
    """Taps for those of `nics` that are on a network. Our descriptors are closed at the end; if that is an error, the taps go, too.

    Raises: NotYet while a network is on its way up, StepFailed when it will not be, FabricError.
    """
    on_networks = [(nic, nic.network) for nic in nics if nic.network is not None]
    if not on_networks:
        yield {}
        return
    networks = list({network.pk: network for _, network in on_networks}.values())
    _need_networks(instance, networks)
    with ExitStack() as closing, ExitStack() as undo:
        with operations.step(operation, "network"):
            plans = {network.pk: network_plan(network) for network in networks}
            keep_filter(instance.host)
            plugs = {nic.position: _plug(instance, plans[network.pk], nic, closing, undo) for nic, network in on_networks}
        yield plugs
        undo.pop_all()


def _need_networks(instance: Instance, networks: Sequence[Network]) -> None:
    """Each is looked at once more: the web process writes these rows, and root acts on them (SEC-F2)."""
    usable = set(usable_by(instance.team_id).filter(host=instance.host_id).values_list("pk", flat=True))
    for network in networks:
        if network.pk not in usable:
            raise StepFailed("network_refused", f"Network {network.name} is not open to this team any more. Take its NIC away.")
        if network.observed == Observed.FAILED:
            why = network.message if network.team_id == instance.team_id else "Ask the team that it belongs to."  # may name theirs (INV-15)
            raise StepFailed("network_failed", f"Network {network.name} is not up: {why}")
    if any(network.observed != Observed.UP for network in networks):
        enqueue("instances.converge", instance.host.queue, str(instance.pk), countdown=RETRY_SECONDS)
        raise NotYet


def _plug(instance: Instance, network: NetworkPlan, nic: Nic, closing: ExitStack, undo: ExitStack) -> Plug:
    plan = nic_plan(network, nic)
    undo.callback(fabric().unplug, plan.tap)
    fds = fabric().plug(network, plan, _queues(instance))
    for fd in fds:
        closing.callback(os.close, fd)
    return Plug(network, plan, nic.is_fixed, fds)


def _queues(instance: Instance) -> int:
    """One for each vCPU where the kernel serves them; else a single thread of QEMU would serve them all, so one is enough."""
    return min(instance.vcpus, MAX_QUEUES) if VHOST_NET.exists() else 1


def nic_plan(network: NetworkPlan, nic: Nic) -> NicPlan:
    """The NIC's part of its network's plan. Raises: StepFailed for one that has left it."""
    tap = tap_name(env.installation, nic.tag)
    for plan in network.nics:
        if plan.tap == tap:
            return plan
    raise StepFailed("network_refused", f"NIC {nic.name} is not on network {network.name} any more. Start the instance again.")


def taps_of_boot(instance: Instance) -> dict[str, dict[str, Any]]:
    """Tap → NIC as in `Instance.boot_values`: of the last boot, whatever was edited since."""
    return {tap_name(env.installation, nic["tag"]): nic for nic in instance.applied.get("nics", []) if nic["network"]}


def begun(instance: Instance) -> list[dict[str, Any]]:
    """NICs, as there, that somebody began to give it while it runs: it has them or not."""
    return list(instance.applied.get("nics_begun", []))


def taps_begun(instance: Instance) -> set[str]:
    """The taps of these."""
    return {tap_name(env.installation, nic["tag"]) for nic in begun(instance)}


def unplug(instance: Instance) -> None:
    """Take the taps of its last boot away, when nothing of that runs any more. What the host refuses is left to the sweep."""
    for tap in taps_of_boot(instance).keys() | taps_begun(instance):
        try:
            fabric().unplug(tap)
        except FabricError as error:
            log.warning("tap %s of %s: %s", tap, instance.pk, error)
