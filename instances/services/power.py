"""The verbs: start, stop, force off, pause, resume, reboot, reset, delete. Called by views, API, sockets and the sweep."""

from django.db import transaction
from django.utils import timezone

from instances import states
from instances.models import Instance
from instances.services.capacity import check_room
from instances.states import BOOT_VERBS, VERBS, Desired, Observed, Verb
from opsweb.core import access, audit, events, operations
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict
from opsweb.core.models import Operation
from opsweb.core.queue import enqueue


def request(verb: Verb, instance: Instance, *, actor: Actor) -> Operation:
    """Write the wish down and tell the worker.

    Raises: NotFound, Forbidden; Conflict("wrong_state") when the verb makes no sense now, Conflict("busy") when something is at it.
    """
    access.require(actor, f"instance.{verb}", instance.team_id)
    with transaction.atomic():
        operation = operations.begin(actor, verb, kind="instance", target_id=instance.pk, label=instance.name, team_id=instance.team_id)
        instance.refresh_from_db()
        if reason := states.refusal(verb, Observed(instance.observed), Desired(instance.desired)):
            raise Conflict(reason, code="wrong_state")
        if verb is Verb.START:
            check_room(instance.host, instance)
        wish(instance, verb)
        audit.record(actor, f"instance.{verb}", kind="instance", target_id=instance.pk, label=instance.name, team_id=instance.team_id)
        announce(instance)
    return operation


# What a wish writes: never the columns of the last look, which the worker may be writing.
WISH_COLUMNS = ("desired", "force", "end_by", "start_after", "restarts", "message", "accepted_at", "boots_wanted")


def wish(instance: Instance, verb: Verb) -> None:
    """Set the columns that a verb stands for."""
    facts = VERBS[verb]
    instance.desired = facts.desired or instance.desired
    instance.force = facts.force
    instance.end_by = instance.start_after = None
    instance.restarts = 0
    instance.message = ""
    if verb in BOOT_VERBS:
        instance.accepted_at = timezone.now()
    if facts.reboot:
        instance.boots_wanted = instance.boots_seen + 1
    instance.save(update_fields=WISH_COLUMNS)


def announce(instance: Instance) -> None:
    """After the commit: the worker converges it, the browsers look again."""
    enqueue("instances.converge", instance.host.queue, str(instance.pk))
    events.changed("instance", instance.pk, instance.team_id)
