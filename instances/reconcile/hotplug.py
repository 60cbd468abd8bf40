"""NICs on networks that come and go while their VM runs. Called under the VM's lock, once there is no other step to do.

What the VM has is asked of it each time; `Instance.applied` says what it should have by now, so that a pass that was killed anywhere is
gone on from. What can't be done is noted beside the NIC and stays “restart to apply”: nothing here makes an operation fail.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import prefetch_related_objects

from instances.hotplug import Entry, changes, with_nic
from instances.hypervisor.base import DriverError, Hypervisor, TapNic
from instances.hypervisor.ports import KEPT
from instances.models import Instance
from instances.reconcile.plugging import begun, plugged
from instances.reconcile.steps import NotYet, StepFailed
from networks.fabric.base import FabricError
from networks.fabric.names import tap_name
from networks.reconcile.drivers import fabric
from opsweb.core import events
from opsweb.environment import env

log = logging.getLogger(__name__)

NO_PORT = "No port is free on the running VM: it was started with room for few more NICs."
NO_DHCP = "Its network has no DHCP, so the guest is told its address at a start only."
SAME_MAC = "The guest has not let go of it on its old network yet."


def keep_nics(driver: Hypervisor, instance: Instance) -> None:
    """Make the NICs of a running VM those of its row, as far as that goes without a restart. Asks it nothing where none differs."""
    if not instance.applied.get("nics"):
        return
    prefetch_related_objects([instance], "nics__network")
    wanted = instance.boot_values()["nics"]
    plan = changes(instance.applied["nics"], wanted)
    leaving = [*plan.leaving, *_begun_in_vain(instance, plan.coming)]
    differing = {nic["tag"] for nic in (*leaving, *plan.coming)}
    _keep_notes(instance, {tag: note for tag, note in _notes(instance).items() if tag in differing})
    for nic in leaving:
        _try(instance, nic, partial(_let_go, driver, instance, nic))
    for nic in plan.coming:
        _try(instance, nic, partial(_give, driver, instance, nic, wanted))


def _try(instance: Instance, nic: Entry, act: Callable[[], None]) -> None:
    """One that can't be done now keeps no other from its turn."""
    try:
        act()
    except NotYet:
        return
    except (DriverError, FabricError, StepFailed) as error:
        log.warning("NIC %s of %s: %s: %s", nic["mac"], instance.pk, error.code, error.message)
        _keep_notes(instance, _notes(instance) | {nic["tag"]: error.message})


def _let_go(driver: Hypervisor, instance: Instance, nic: Entry) -> None:
    """A guest is waited for once: whether it lets go later is seen then. What else kept it here is tried again."""
    ports = driver.nic_ports(instance.pk)
    number = _port_of(nic, ports)
    if number is not None and _notes(instance).get(nic["tag"]) == KEPT:
        return
    for port in _free(ports) if number is None else [number]:  # of one that went by itself QEMU still has the backend
        driver.detach_nic(instance.pk, port)
    fabric().unplug(_tap(nic))
    _keep(instance, [other for other in instance.applied["nics"] if other["tag"] != nic["tag"]], nic)


def _give(driver: Hypervisor, instance: Instance, nic: Entry, wanted: Sequence[Entry]) -> None:
    row = next(row for row in instance.nics.all() if row.tag == nic["tag"])
    if row.network is None or not row.network.dhcp:
        raise StepFailed("no_dhcp", NO_DHCP)
    if not _is_there(driver, instance, nic):
        free = _free(driver.nic_ports(instance.pk))
        if not free:
            raise StepFailed("no_port", NO_PORT)
        with plugged(instance, [row], None) as plugs:
            _begin(instance, nic)
            driver.attach_nic(instance.pk, free[0], TapNic(row.mac, plugs[row.position].fds))
    _keep(instance, with_nic(instance.applied["nics"], nic, wanted), nic)


def _is_there(driver: Hypervisor, instance: Instance, nic: Entry) -> bool:
    """Whether a pass that was killed has plugged it already. One with its MAC whose tap is another or gone is taken off first."""
    number = _port_of(nic, driver.nic_ports(instance.pk))
    if number is None:
        return False
    if any(other["mac"] == nic["mac"] for other in instance.applied["nics"]):
        raise StepFailed("nic_held", SAME_MAC)
    if _tap(nic) in fabric().taps():
        return True
    driver.detach_nic(instance.pk, number)
    return False


def _port_of(nic: Entry, ports: Mapping[int, str]) -> int | None:
    return next((number for number, mac in ports.items() if mac == nic["mac"].lower()), None)


def _free(ports: Mapping[int, str]) -> list[int]:
    return [number for number, mac in ports.items() if not mac]


def _tap(nic: Entry) -> str:
    return tap_name(env.installation, nic["tag"])


def _notes(instance: Instance) -> dict[str, str]:
    """Tag → why not; both of NICs that are to go and of those that are to come."""
    return dict(instance.applied.get("nic_notes", {}))


def _begin(instance: Instance, nic: Entry) -> None:
    """Written before QEMU has it: if we are killed and nobody wants it any more, the next pass still knows that it may be there."""
    if nic not in begun(instance):
        instance.applied = {**instance.applied, "nics_begun": [*begun(instance), nic]}
        Instance.objects.filter(pk=instance.pk).update(applied=instance.applied)


def _begun_in_vain(instance: Instance, coming: Sequence[Entry]) -> list[Entry]:
    going_on = {nic["tag"] for nic in coming}
    return [nic for nic in begun(instance) if nic["tag"] not in going_on]


def _keep(instance: Instance, nics: list[Entry], done: Entry) -> None:
    notes = {tag: note for tag, note in _notes(instance).items() if tag != done["tag"]}
    left = [nic for nic in begun(instance) if nic["tag"] != done["tag"]]
    _save(instance, {**instance.applied, "nics": nics, "nic_notes": notes, "nics_begun": left})


def _keep_notes(instance: Instance, notes: dict[str, str]) -> None:
    if notes != _notes(instance):
        _save(instance, {**instance.applied, "nic_notes": notes})


def _save(instance: Instance, applied: dict[str, Any]) -> None:
    """At once, so that a pass that is killed has told what it did. Only the worker writes this, under the VM's lock."""
    instance.applied = applied
    with transaction.atomic():
        Instance.objects.filter(pk=instance.pk).update(applied=applied)
        events.changed("instance", instance.pk, instance.team_id)
