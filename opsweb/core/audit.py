"""The only writer of the audit log. Called by every service, in the transaction of its change; `trim` by the daily task."""

import logging
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from opsweb.core import chain
from opsweb.core.access import SYSTEM, Actor
from opsweb.core.models import AuditChain, AuditEntry

log = logging.getLogger(__name__)

AT_ONCE = 500  # entries that go in one transaction: a change waits for no more


def record(
    actor: Actor, verb: str, *, kind: str, target_id: object, label: str, team_id: int | None, details: dict[str, Any] | None = None
) -> None:
    """Append one entry. `details` must hold no secret (INV-18): callers name changed fields, never values of env.

    It holds the end of the chain until the commit: call it after what may have to wait for somebody else's transaction.
    """
    entry = AuditEntry(
        at=timezone.now(),
        actor_id=actor.user_id,
        actor_name=actor.name,
        via=actor.via,
        verb=verb,
        kind=kind,
        target_id=str(target_id),
        target_label=label,
        team_id=team_id,
        details=details or {},
        request_id=actor.request_id,
        address=actor.address,
    )
    with transaction.atomic(savepoint=False):
        entry.previous, entry.hash = chain.lengthen(chain.digest_of(entry))
        entry.save(force_insert=True)


def trim(before: datetime) -> int:
    """Remove the entries up to the first that is younger than `before`, or that does not fit; returns how many. The rest stays a chain."""
    removed = 0
    while gone := _trim_some(before):
        removed += gone
    if removed:
        details = {"entries": removed, "before": before.isoformat(timespec="seconds")}
        record(SYSTEM, "audit.trim", kind="audit", target_id="", label="the audit log", team_id=None, details=details)
    return removed


@transaction.atomic
def _trim_some(before: datetime) -> int:
    ends = AuditChain.objects.select_for_update().first()  # who appends, or trims as well, waits
    walk = chain.Walk(ends.anchor if ends else "")
    for entry in AuditEntry.objects.order_by("pk")[:AT_ONCE]:
        if entry.at >= before or not walk.take(entry):
            break
    if walk.misfit:
        log.error("audit: %s It stays, with all after it.", walk.misfit)
    if walk.entries:
        QuerySet.delete(AuditEntry.objects.filter(pk__lte=walk.last_id))
        AuditChain.objects.update(anchor=walk.head)
    return walk.entries
