"""The reconciler: looks at a VM, writes down what is so, and does the next step towards the wish until there is none.

Safe to run twice, at once, late or after a crash: the row is the truth, the host is looked at anew each time (INV-02, INV-05, INV-06).
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q, prefetch_related_objects
from django.utils import timezone

from instances.hypervisor.base import DriverError, Hypervisor, Observation, Power
from instances.imaging.base import ImagingError
from instances.imaging.base_archive import least_memory_mib
from instances.models import Instance
from instances.reconcile.drivers import hypervisor
from instances.reconcile.hotplug import keep_nics
from instances.reconcile.machine import is_vm_uid, machine_of, user_nic
from instances.reconcile.notify import tell_watcher
from instances.reconcile.plugging import plugged, unplug
from instances.reconcile.record import record
from instances.reconcile.steps import NotYet, StepFailed
from instances.states import BOOT_VERBS, Desired, Observed, Step, Wish, next_step
from networks.fabric.base import Endpoint, FabricError
from networks.reconcile.filter import keep_filter
from networks.reconcile.guard import GuestUser, busy_ports, foreign_addresses, keep_guard, strangers_on, wanted_ports
from opsweb.core import events, operations
from opsweb.core.models import Host, Operation
from opsweb.core.queue import enqueue
from opsweb.environment import env

log = logging.getLogger(__name__)

Perform = Callable[[Hypervisor, Instance, Operation | None], Observation | None]  # what it saw of the VM itself, or None

MAX_STEPS = 6
STOP_SECONDS = 20  # how long a guest may take to end after the power button
PRESS_SECONDS = 3  # between two presses of the power button
RETRY_SECONDS = 30  # between tries of a start that nobody waits for


def converge(instance_id: UUID) -> None:
    """Bring one VM to its wish, as far as it goes without waiting for the guest."""
    driver = hypervisor()
    with driver.lock(instance_id), ExitStack() as ending:
        looked = operation = None
        for _ in range(MAX_STEPS):
            # In this order: the wish is the operation's own or a newer one, and what is done is judged by a wish newer than the look.
            seen = looked or driver.observe(instance_id)
            operation = _claimed(instance_id, operation, ending)
            instance = Instance.objects.select_related("host", "image", "team").filter(pk=instance_id).first()
            if instance is None:
                driver.erase(instance_id)
                return
            is_going_on, looked = _advance(driver, instance, operation, seen)
            if not is_going_on:
                return
    log.warning("%s did not settle in %s steps", instance_id, MAX_STEPS)


def _advance(driver: Hypervisor, instance: Instance, operation: Operation | None, seen: Observation) -> tuple[bool, Observation | None]:
    """One step from what was `seen`: whether there may be more to do now, and what the step itself saw."""
    was_up = instance.is_up
    record(instance, seen)
    if seen.pid and not instance.is_up:
        driver.kill(instance.pk)  # its end is written down; QEMU kept the facts until now
        unplug(instance)
        return True, None
    if was_up and not instance.is_up:
        unplug(instance)
    step = next_step(wish_of(instance), Observed(seen.power.value))
    if step is None:
        _settle(instance, operation)
        if instance.observed == instance.desired == Observed.RUNNING:
            keep_nics(driver, instance)
    elif step is Step.WAIT:
        _press_again(driver, instance)
    else:
        return _perform(step, driver, instance, operation)
    return False, None


def _perform(step: Step, driver: Hypervisor, instance: Instance, operation: Operation | None) -> tuple[bool, Observation | None]:
    try:
        return True, PERFORM[step](driver, instance, operation)
    except NotYet:
        pass
    except (DriverError, FabricError, ImagingError, StepFailed) as error:
        _fail(instance, operation, error.code, error.message)
    except Exception:  # a mistake of ours: whoever waits is told, and nobody waits for ever
        log.exception("instance %s: %s", instance.pk, step)
        _fail(instance, operation, "internal", "Something went wrong in the panel. The worker's log says what; tell an admin.")
    return False, None


def wish_of(instance: Instance) -> Wish:
    """The row's part that decides the next step."""
    now = timezone.now()
    return Wish(
        desired=Desired.STOPPED if instance.host.is_draining and instance.desired != Desired.ABSENT else Desired(instance.desired),
        reboot=instance.boots_wanted > instance.boots_seen,
        force=instance.force,
        asked=instance.end_by is not None,
        overdue=instance.end_by is not None and instance.end_by <= now,
        held=instance.is_held,
    )


def _claimed(instance_id: UUID, before: Operation | None, ending: ExitStack) -> Operation | None:
    """The one that is active now; if it is still that of `before`, with its steps, which are written down at the end at the latest."""
    operation = operations.active("instance", instance_id)
    if operation == before:
        return before
    if operation is not None:
        operations.claim(operation)
        ending.callback(operations.keep_steps, operation)
    return operation


def _settle(instance: Instance, operation: Operation | None) -> None:
    """The host matches the wish: the operation is done, a deleted row goes."""
    if instance.observed == Observed.UNKNOWN:
        return
    if operation is not None:
        operations.finish(operation, Operation.Status.SUCCEEDED)
    if instance.desired == Desired.ABSENT:
        networks = set(instance.nics.filter(network__isnull=False).values_list("network", flat=True))
        with transaction.atomic():
            instance.delete()
            events.changed("instance", instance.pk, instance.team_id)
        for network in networks:  # its addresses are free, its forwards lead nowhere
            enqueue("networks.converge", instance.host.queue, str(network))
    if operation is not None and not instance.is_up:
        keep_host_guard(instance.host)


def _fail(instance: Instance, operation: Operation | None, code: str, message: str) -> None:
    """A start that somebody asked for ends with the driver's sentence; one that nobody waits for is tried again later."""
    log.warning("instance %s: %s: %s", instance.pk, code, message)
    columns: dict[str, object] = {"message": message}
    with transaction.atomic():
        if operation is not None and not operations.finish(operation, Operation.Status.FAILED, code, message):
            return  # pushed aside meanwhile: what its successor wants stands
        if operation is not None and operation.verb in BOOT_VERBS:
            columns["desired"] = Desired.STOPPED
        elif operation is None and not operations.active("instance", instance.pk):
            columns["start_after"] = timezone.now() + timedelta(seconds=RETRY_SECONDS)
        Instance.objects.filter(pk=instance.pk).update(**columns)
        events.changed("instance", instance.pk, instance.team_id)


def _start(driver: Hypervisor, instance: Instance, operation: Operation | None) -> Observation:
    _need_image(instance)
    with operations.step(operation, "ports"):
        _need_free_ports(instance)
    with operations.step(operation, "rules"):
        keep_host_guard(instance.host)
    prefetch_related_objects([instance], "nics__network", "nics__forwards")
    with plugged(instance, list(instance.nics.all()), operation) as plugs:
        with operations.step(operation, "image"):
            machine = machine_of(instance, plugs)
            _before_boot(instance, operation)
        with operations.step(operation, "QEMU"):
            seen = driver.start(machine)
    tell_watcher(instance)
    return seen


def _need_image(instance: Instance) -> None:
    if instance.image.error:
        raise StepFailed("image_failed", f"Its image could not be built: {instance.image.error}")
    if not instance.image.digest:
        raise NotYet
    least = least_memory_mib(instance.image.size)
    if instance.memory_mib < least:
        raise StepFailed("too_little_memory", f"Image {instance.image.name} needs {least} MiB to boot; this has {instance.memory_mib} MiB.")


def _need_free_ports(instance: Instance) -> None:
    wanted = wanted_ports(instance.pk)
    if foreign := foreign_addresses(wanted):
        there_is = f"{', '.join(sorted(foreign))} {'is no address' if len(foreign) == 1 else 'are no addresses'} of this host"
        raise StepFailed("bad_address", f"{there_is}. Leave the address out to listen on 127.0.0.1, or take 0.0.0.0 for all.")
    if busy := busy_ports(wanted):
        raise _busy(busy)


def _busy(holders: Mapping[Endpoint, str]) -> StepFailed:
    taken = ", ".join(f"{endpoint.port}/{endpoint.protocol} by {who}" for endpoint, who in holders.items())
    return StepFailed("port_busy", f"A port of the host is in use: {taken}. Take another host port, or end that program.")


def _before_boot(instance: Instance, operation: Operation | None) -> None:
    """Written before QEMU runs, so that a crash in between leaves nothing of the last boot standing for the new one."""
    instance.boots_seen = instance.boots_wanted
    instance.end_by = instance.start_after = instance.first_byte_at = instance.exit = None
    instance.message, instance.applied = "", instance.boot_values()
    if instance.accepted_at is None or operation is None:
        instance.accepted_at = timezone.now()
    instance.save(update_fields=["boots_seen", "end_by", "start_after", "first_byte_at", "exit", "message", "applied", "accepted_at"])


def _powerdown(driver: Hypervisor, instance: Instance, operation: Operation | None) -> None:
    instance.end_by = timezone.now() + timedelta(seconds=STOP_SECONDS)
    instance.save(update_fields=["end_by"])
    with operations.step(operation, "power down"):
        driver.powerdown(instance.pk)
    enqueue("instances.converge", instance.host.queue, str(instance.pk), countdown=PRESS_SECONDS)


def _press_again(driver: Hypervisor, instance: Instance) -> None:
    """A guest that was still booting has not heard the power button: press it until its time is over."""
    if instance.end_by is not None and instance.observed == Observed.RUNNING:
        driver.powerdown(instance.pk)
        enqueue("instances.converge", instance.host.queue, str(instance.pk), countdown=PRESS_SECONDS)


def _reset(driver: Hypervisor, instance: Instance, operation: Operation | None) -> None:
    with operations.step(operation, "reset"):
        driver.reset(instance.pk)
    same_wish = Instance.objects.filter(pk=instance.pk, desired=instance.desired, boots_wanted=instance.boots_wanted)
    same_wish.update(boots_seen=instance.boots_wanted, force=False)


def _plain(step: Step, act: Callable[[Hypervisor, UUID], None]) -> Perform:
    """A step that is one call of the driver."""

    def perform(driver: Hypervisor, instance: Instance, operation: Operation | None) -> None:
        with operations.step(operation, step.value):
            act(driver, instance.pk)

    return perform


PERFORM: dict[Step, Perform] = {
    Step.START: _start,
    Step.START_PAUSED: _start,
    Step.PAUSE: _plain(Step.PAUSE, lambda driver, vm: driver.pause(vm)),
    Step.RESUME: _plain(Step.RESUME, lambda driver, vm: driver.resume(vm)),
    Step.POWERDOWN: _powerdown,
    Step.KILL: _plain(Step.KILL, lambda driver, vm: driver.kill(vm)),
    Step.RESET: _reset,
    Step.ERASE: _plain(Step.ERASE, lambda driver, vm: driver.erase(vm)),
}


def keep_host_guard(host: Host) -> None:
    """The rules for this host's user-mode guests, by its rows: those that run, and those that are about to."""

    def guests() -> list[GuestUser]:
        live = Q(observed__in=(Observed.RUNNING, Observed.PAUSED))
        if not host.is_draining:
            live |= Q(desired__in=(Desired.RUNNING, Desired.PAUSED))
        rows = Instance.objects.filter(live, host=host).order_by("uid_offset").values_list("uid_offset", "team_id", "pk")
        return [GuestUser(env.uid_base + offset, team_id, pk) for offset, team_id, pk in rows if is_vm_uid(offset)]

    keep_guard(host, guests)


def _keep_forwards(driver: Hypervisor, instance: Instance) -> None:
    """Of the NICs that the running VM has in user mode: each by its MAC, for an edit may have moved it to another place among them."""
    running = {nic["mac"].lower() for nic in instance.applied.get("nics", []) if not nic["network"]}
    numbers = {mac: number for number, mac in driver.nic_ports(instance.pk).items() if mac in running} if running else {}
    for nic in instance.nics.filter(network=None).prefetch_related("forwards"):
        if nic.mac.lower() in numbers:  # a guest can put a NIC out of its slot
            driver.set_forwards(instance.pk, numbers[nic.mac.lower()], user_nic(nic).forwards)


def apply_forwards(instance_id: UUID) -> None:
    """Port forwards of a running VM change without a restart."""
    driver = hypervisor()
    with driver.lock(instance_id):
        instance = Instance.objects.select_related("host").filter(pk=instance_id).first()
        if instance is None or driver.observe(instance_id).power not in (Power.RUNNING, Power.PAUSED):
            return
        try:
            keep_host_guard(instance.host)
            if instance.nics.filter(network__isnull=False).exists():
                keep_filter(instance.host)
            _keep_forwards(driver, instance)
            if holders := strangers_on(wanted_ports(instance_id)):  # a low port is not bound by QEMU, so it can't say
                raise _busy(holders)
        except (DriverError, FabricError, StepFailed) as error:  # the row stays as it is wanted: its next start says so again
            log.warning("forwards of %s: %s: %s", instance_id, error.code, error.message)
            Instance.objects.filter(pk=instance_id).update(message=error.message)
            events.changed("instance", instance_id, instance.team_id)
