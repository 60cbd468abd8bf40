"""The audit log as admins read it: who may see which entries, filtered, each as a line with its facts. For the page and the export."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.db.models import Q, QuerySet

from opsweb.core import access
from opsweb.core.access import Actor
from opsweb.core.models import AuditEntry
from opsweb.teams.feed import SENTENCES, Entry, shown_entry, still_there
from opsweb.teams.models import Team

KINDS = tuple(dict.fromkeys(verb.partition(".")[0] for verb in SENTENCES))


class TrailFilter(forms.Form):
    """What of the log is wanted; each field narrows it. `from` and `to` are days in UTC, both of them included."""

    team = forms.ChoiceField(required=False)
    person = forms.CharField(required=False, max_length=150)
    verb = forms.CharField(required=False, max_length=40)
    kind = forms.ChoiceField(required=False, choices=[("", "all"), *((kind, kind) for kind in KINDS)])
    text = forms.CharField(required=False, max_length=150, label="Search")

    def __init__(self, data: Any, *, actor: Actor) -> None:
        super().__init__(data)
        self.fields["from"] = forms.DateField(required=False)
        self.fields["to"] = forms.DateField(required=False)
        mine = Team.objects.all() if actor.superuser else Team.objects.filter(pk__in=actor.audited_teams)
        names = mine.values_list("name", flat=True)
        self.fields["team"].choices = [("", "all"), *((name, name) for name in names)]  # type: ignore[attr-defined]

    @property
    def days(self) -> tuple[Any, Any]:
        """The two fields that no template can name: `from` is a word of its own there."""
        return self["from"], self["to"]


def trail(actor: Actor, wanted: TrailFilter) -> QuerySet[AuditEntry]:
    """The entries that `actor` may see and that fit, newest first; none when a field makes no sense. Raises: Forbidden."""
    entries = access.auditable(actor, AuditEntry.objects.select_related("team"))
    if not wanted.is_valid():
        return entries.none()
    return entries.filter(_fits(wanted.cleaned_data))


def _fits(value: dict[str, Any]) -> Q:
    fits = Q()
    for name, lookup in (("team", "team__name"), ("person", "actor_name__iexact"), ("verb", "verb__istartswith"), ("kind", "kind")):
        if value[name]:
            fits &= Q(**{lookup: value[name]})
    if value["from"]:
        fits &= Q(at__gte=_midnight(value["from"]))
    if value["to"]:
        fits &= Q(at__lt=_midnight(value["to"]) + timedelta(days=1))
    if text := value["text"]:
        fits &= Q(target_label__icontains=text) | Q(target_id=text) | Q(address=text) | Q(request_id=text)
    return fits


def _midnight(day: Any) -> datetime:
    return datetime.combine(day, time.min, UTC)


@dataclass(frozen=True)
class Line:
    """An entry with what a feed leaves out."""

    row: AuditEntry
    said: Entry
    team: str
    facts: str


def lines(entries: Sequence[AuditEntry]) -> list[Line]:
    """As the page shows them, linked where the thing is still there. Three queries, however many there are."""
    there = still_there((entry.kind, entry.target_id) for entry in entries)
    return [Line(entry, shown_entry(entry, there), team_name(entry), facts_of(entry)) for entry in entries]


def team_name(entry: AuditEntry) -> str:
    """ "" for none, and for one that is gone."""
    return entry.team.name if entry.team else ""


def facts_of(entry: AuditEntry) -> str:
    """Its details in words: "fields: args, env; size: 4"."""
    return "; ".join(f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}" for name, value in entry.details.items())
