"""Writes of teams themselves, by superusers: a new one, another quota, put away and brought back."""

from collections.abc import Mapping

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from opsweb.core import access, audit, events
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, Invalid
from opsweb.core.models import Operation
from opsweb.teams.models import Team
from opsweb.teams.services import lock_team

SHOWN = 5  # names in a refusal


def create(name: str, quotas: Mapping[str, int], *, actor: Actor) -> Team:
    """A team without members; `quotas` by column. Raises: Forbidden; Invalid; Conflict("name_taken")."""
    access.require(actor, "team.create", None)
    team = Team(name=name, **quotas)
    _check(team)
    with transaction.atomic():
        try:
            with transaction.atomic():
                team.save()
        except IntegrityError as error:
            raise Conflict(f"There is a team called {name}. Take another name.", code="name_taken", fields={"name": [name]}) from error
        audit.record(actor, "team.create", kind="team", target_id=team.pk, label=team.name, team_id=team.pk)
        events.changed("team", team.pk, team.pk)
    return team


def set_quotas(team: Team, quotas: Mapping[str, int], *, actor: Actor) -> Team:
    """Other limits, by column; what is taken stays. Raises: NotFound, Forbidden; Invalid."""
    access.require(actor, "team.quota", team.pk)
    with transaction.atomic():
        team = lock_team(team.pk)
        changed = [column for column, limit in quotas.items() if getattr(team, column) != limit]
        for column in changed:
            setattr(team, column, quotas[column])
        _check(team)
        if changed:
            team.save(update_fields=changed)
            details = {"fields": changed}
            audit.record(actor, "team.quota", kind="team", target_id=team.pk, label=team.name, team_id=team.pk, details=details)
            events.changed("team", team.pk, team.pk)
    return team


def archive(team: Team, *, actor: Actor) -> None:
    """Put it away: its members see nothing of it, nobody changes anything in it. Raises: NotFound, Forbidden; Conflict("in_use")."""
    access.require(actor, "team.archive", team.pk)
    with transaction.atomic():
        lock_team(team.pk)
        _refuse_busy(team)
        Team.objects.filter(pk=team.pk).update(archived_at=timezone.now())
        audit.record(actor, "team.archive", kind="team", target_id=team.pk, label=team.name, team_id=team.pk)
        events.changed("team", team.pk, team.pk)


def restore(team: Team, *, actor: Actor) -> None:
    """Bring it back as it was. Raises: NotFound, Forbidden."""
    access.require(actor, "team.restore", team.pk)
    with transaction.atomic():
        if Team.objects.filter(pk=team.pk).exclude(archived_at=None).update(archived_at=None):
            audit.record(actor, "team.restore", kind="team", target_id=team.pk, label=team.name, team_id=team.pk)
            events.changed("team", team.pk, team.pk)


def _refuse_busy(team: Team) -> None:
    """Raises: Conflict while an instance runs or is to run, or something is being done. The app of instances stands above this one."""
    up = Q(desired__in=("running", "paused")) | Q(observed__in=("running", "paused"))
    running = apps.get_model("instances", "Instance").objects.filter(up, team=team).order_by("name")
    if names := list(running.values_list("name", flat=True)[:SHOWN]):
        raise Conflict(f"Instances of {team} run: {', '.join(names)}. Stop them first.", code="in_use")
    if operation := Operation.objects.filter(team=team, status__in=Operation.ACTIVE).first():
        raise Conflict(f"Something is being done in {team}: {operation}. Wait until it is over.", code="in_use")


def _check(team: Team) -> None:
    """Raises: Invalid, for a name or a limit that can't be; whether the name is free the database says."""
    try:
        team.clean_fields()
    except ValidationError as error:
        fields = {name: list(texts) for name, texts in error.message_dict.items()}
        raise Invalid(" ".join(text for texts in fields.values() for text in texts), fields=fields) from error
