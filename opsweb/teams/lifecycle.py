"""Writes of teams themselves, by superusers: a new one, another quota."""

from collections.abc import Mapping

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from opsweb.core import access, audit, events
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, Invalid
from opsweb.teams.models import Team
from opsweb.teams.services import lock_team


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


def _check(team: Team) -> None:
    """Raises: Invalid, for a name or a limit that can't be; whether the name is free the database says."""
    try:
        team.clean_fields()
    except ValidationError as error:
        fields = {name: list(texts) for name, texts in error.message_dict.items()}
        raise Invalid(" ".join(text for texts in fields.values() for text in texts), fields=fields) from error
