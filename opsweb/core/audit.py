"""The only writer of the audit log. Called by every service, in the transaction of its change."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from opsweb.core import chain
from opsweb.core.access import Actor
from opsweb.core.models import AuditEntry


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
