"""Writes down what was seen, and takes note of guests that ended by themselves. Called under the VM's lock alone, so in order."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from instances.hypervisor.base import Exit, ExitReason, Observation, Power
from instances.models import Instance
from instances.states import Desired
from opsweb.core import events
from opsweb.core.queue import enqueue

LONG_ENOUGH = timedelta(minutes=1)  # a boot that lived so long ends the row of failures
LONGEST_WAIT = 300  # seconds between two tries of the restart policy
SEEN_EVERY = timedelta(minutes=1)  # an unchanged look is written down this often


def record(instance: Instance, seen: Observation) -> None:
    """Bring the observed columns up to date; tell the browsers when something changed."""
    before = _columns(instance)
    instance.observed = seen.power.value
    if seen.boot and seen.boot != instance.boot:
        instance.boot, instance.milestones = seen.boot, {}
    instance.started_at = _time(seen.started_at) if seen.started_at else instance.started_at
    instance.milestones = {**seen.milestones, **instance.milestones}  # a later look may differ by some ms
    instance.limits_note = seen.limits
    _take_note_of_end(instance, seen)
    fresh = instance.observed_at is not None and timezone.now() - instance.observed_at < SEEN_EVERY
    changed = {name: value for name, value in _columns(instance).items() if value != before[name]}
    if changed or not fresh:
        instance.observed_at = timezone.now()
        _save(instance, {**changed, "observed_at": instance.observed_at}, Desired(before["desired"]))
    if changed:
        events.changed("instance", instance.pk, instance.team_id)


def _save(instance: Instance, changed: dict[str, Any], judged: Desired) -> None:
    """What was seen, always; what the restart policy made of it, only while the wish that it `judged` stands."""
    wish = {name: changed.pop(name) for name in WISH_COLUMNS if name in changed}
    row = Instance.objects.filter(pk=instance.pk)
    if not wish:
        row.update(**changed)
        return
    with transaction.atomic():
        row.update(**changed)
        if not row.filter(desired=judged, boots_wanted=instance.boots_wanted).update(**wish):
            instance.refresh_from_db(fields=WISH_COLUMNS)


WISH_COLUMNS = ("desired", "end_by", "start_after", "restarts")  # of OBSERVED_COLUMNS; people write them too


OBSERVED_COLUMNS = (
    "observed",
    "boot",
    "ended_boot",
    "started_at",
    "milestones",
    "exit",
    "limits_note",
    "desired",
    "end_by",
    "start_after",
    "restarts",
)


def _columns(instance: Instance) -> dict[str, Any]:
    return {name: getattr(instance, name) for name in OBSERVED_COLUMNS}


def _take_note_of_end(instance: Instance, seen: Observation) -> None:
    """A guest that ended is a fact, not a state to fight: keep how, and let the restart policy decide. Once for each boot."""
    ended = seen.power in (Power.STOPPED, Power.CRASHED) and seen.boot and seen.boot != instance.ended_boot
    if not ended:
        return
    instance.ended_boot, instance.end_by = seen.boot, None
    instance.exit = _facts(seen.exit) if seen.exit else None
    if seen.exit is None or seen.exit.reason is ExitReason.REQUEST:
        return
    if instance.desired in (Desired.RUNNING, Desired.PAUSED) and instance.boots_wanted <= instance.boots_seen:
        _apply_policy(instance, seen.exit)


def _apply_policy(instance: Instance, end: Exit) -> None:
    failed = end.reason is ExitReason.CRASH or bool(end.code) or end.signal is not None
    policy = instance.restart_policy
    if policy == Instance.RestartPolicy.NEVER or (policy == Instance.RestartPolicy.ON_FAILURE and not failed):
        instance.desired = Desired.STOPPED
        return
    lived = timezone.now() - instance.started_at if instance.started_at else timedelta()
    instance.restarts = 1 if lived > LONG_ENOUGH else instance.restarts + 1
    wait = min(2**instance.restarts, LONGEST_WAIT)
    instance.start_after = timezone.now() + timedelta(seconds=wait)
    enqueue("instances.converge", instance.host.queue, str(instance.pk), countdown=wait)


def _facts(end: Exit) -> dict[str, Any]:
    now = timezone.now().isoformat()
    return {"reason": end.reason.value, "code": end.code, "signal": end.signal, "message": end.message, "at": now}


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
