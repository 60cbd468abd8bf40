"""Operations: made by services, claimed and finished by reconcile. One at a time for each target."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.timesince import timesince

from opsweb.core import events
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict
from opsweb.core.models import Operation

# A verb of the left may push aside an active operation of the right: one must always be able to get rid of something.
SUPERSEDES: dict[str, frozenset[str]] = {
    "force-off": frozenset({"start", "stop", "reboot", "pause", "resume", "reset"}),
    "delete": frozenset({"start", "stop", "reboot", "pause", "resume", "reset", "force-off", "build", "create", "edit", "repair"}),
    "reset": frozenset({"reboot", "stop"}),
    "stop": frozenset({"start", "reboot"}),
}

Status = Operation.Status
TRIES = 3  # of an insert that others are faster with
KEEP_SECONDS = 0.1  # steps that follow each other faster are written down together


def active(kind: str, target_id: UUID) -> Operation | None:
    """The operation that is queued or running for the target."""
    return Operation.objects.filter(kind=kind, target_id=target_id, status__in=Operation.ACTIVE).first()


def begin(actor: Actor, verb: str, *, kind: str, target_id: UUID, label: str, team_id: int) -> Operation:
    """Make the operation, inside the caller's transaction. Raises: Conflict("busy") that says who is at it and since when."""
    for _ in range(TRIES):
        current = active(kind, target_id)
        if current is not None and current.verb in SUPERSEDES.get(verb, ()):
            finish(current, Status.SUPERSEDED, "superseded", f"Pushed aside by {verb}, asked for by {actor.name}.")
        elif current is not None:
            raise _busy(current)
        try:
            with transaction.atomic():
                operation = Operation.objects.create(
                    kind=kind, target_id=target_id, target_label=label, team_id=team_id, verb=verb, requested_by=actor.name
                )
        except IntegrityError:  # somebody was first between our look and our insert; what they began may be for us to push aside
            continue
        events.changed("operation", operation.id, team_id)
        return operation
    raise Conflict("Others were first, again and again. Try once more.", code="busy")


def _busy(current: Operation) -> Conflict:
    advice = "Wait for it, or force off." if current.kind == "instance" else "Wait for it."
    return Conflict(f"Busy: {current.verb} by {current.requested_by}, {_ago(current.created_at)} ago. {advice}", code="busy")


def _ago(at: datetime) -> str:
    seconds = int((timezone.now() - at).total_seconds())
    return f"{max(seconds, 0)} s" if seconds < 60 else timesince(at)


def claim(operation: Operation) -> bool:
    """Queued → running by compare-and-set; False when it is not queued any more."""
    if operation.status != Status.QUEUED:
        return False
    steps = [*operation.steps, _step("queued", operation.created_at.timestamp())]
    won = Operation.objects.filter(pk=operation.pk, status=Status.QUEUED).update(status=Status.RUNNING, steps=steps)
    if won:
        operation.status, operation.steps, operation.kept_at = Status.RUNNING, steps, time.monotonic()
        events.changed("operation", operation.id, operation.team_id)
    return bool(won)


def _step(name: str, started: float) -> dict[str, Any]:
    return {"name": name, "started": round(started, 4), "ms": round((time.time() - started) * 1000, 1)}


def add_step(operation: Operation, name: str, *, started: float) -> None:
    """Append a finished step; `started` in seconds since the epoch. Many short ones are written down together: see `keep_steps`."""
    operation.steps = [*operation.steps, _step(name, started)]
    operation.has_news = True
    if time.monotonic() - operation.kept_at > KEEP_SECONDS:
        keep_steps(operation)


def keep_steps(operation: Operation) -> None:
    """Write down what `add_step` has not yet. `finish` does it too."""
    if operation.has_news:
        Operation.objects.filter(pk=operation.pk).update(steps=operation.steps)
        operation.has_news, operation.kept_at = False, time.monotonic()
        events.changed("operation", operation.id, operation.team_id)


@contextmanager
def step(operation: Operation | None, name: str) -> Iterator[None]:
    """Time a step of `operation`; of None, nothing is kept. A step that raises is kept too: it says where it failed."""
    started = time.time()
    try:
        yield
    finally:
        if operation is not None:
            add_step(operation, name, started=started)


def finish(operation: Operation, status: str, code: str = "", message: str = "") -> bool:
    """End an active operation by compare-and-set; False when it had ended already."""
    ended: dict[str, Any] = {"status": status, "error_code": code, "error_message": message, "finished_at": timezone.now()}
    if operation.has_news:
        ended["steps"] = operation.steps
    won = Operation.objects.filter(pk=operation.pk, status__in=Operation.ACTIVE).update(**ended)
    if won:
        for name, value in ended.items():
            setattr(operation, name, value)
        operation.has_news = False
        events.changed("operation", operation.id, operation.team_id)
    return bool(won)
