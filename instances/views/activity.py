"""What happened: the audit log in sentences, and the drawer of operations."""

from dataclasses import dataclass
from datetime import datetime

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from instances.shown import still_there
from instances.views.answers import page
from opsweb.core import access
from opsweb.core.access import Actor
from opsweb.core.models import AuditEntry
from opsweb.teams.actors import actor_of
from opsweb.teams.chosen import team_of
from opsweb.teams.models import Team

PER_PAGE = 50

# Audit verb → what a person reads between the actor and the thing.
SENTENCES = {
    "instance.create": "created",
    "instance.edit": "edited",
    "instance.start": "started",
    "instance.stop": "stopped",
    "instance.force-off": "forced off",
    "instance.pause": "paused",
    "instance.resume": "resumed",
    "instance.reboot": "restarted",
    "instance.reset": "reset",
    "instance.delete": "deleted",
    "image.create": "made the image",
    "image.delete": "deleted the image",
    "upload.create": "began to upload",
    "upload.cancel": "cancelled the upload of",
    "token.create": "made the token",
    "team.member": "changed the members of",
    "team.add": "made the team",
    "team.change": "edited the team",
    "user.password": "changed the password of",
}


@dataclass(frozen=True)
class Entry:
    """One line of a feed."""

    actor: str
    did: str
    label: str
    url: str
    at: datetime
    via: str
    detail: str


def shown_entry(entry: AuditEntry, there: set[str]) -> Entry:
    """An audit entry as a sentence, a link when its target is `there`; `details` holds names of fields, never values."""
    fields = entry.details.get("fields") or []
    return Entry(
        actor=entry.actor_name,
        did=SENTENCES.get(entry.verb, entry.verb),
        label=entry.target_label,
        url=reverse(f"{entry.kind}s:detail", args=[entry.target_id]) if entry.target_id in there else "",
        at=entry.at,
        via=entry.via,
        detail=", ".join(str(field).replace("_", " ") for field in fields),
    )


def entries_of(actor: Actor, *, team: Team | None = None, target: object = None) -> "Feed":
    """The entries the actor may see, newest first; of one team, of one thing."""
    entries = access.visible(actor, AuditEntry.objects.exclude(verb="upload.create"))
    if team is not None:
        entries = entries.filter(team=team)
    if target is not None:
        entries = entries.filter(target_id=str(target))
    return Feed(entries)


class Feed:
    """Audit entries that turn into sentences when they are sliced (also by a paginator)."""

    def __init__(self, entries: QuerySet[AuditEntry]) -> None:
        self.entries = entries

    def __getitem__(self, piece: slice) -> list[Entry]:
        rows = list(self.entries[piece])
        there = still_there((entry.kind, entry.target_id) for entry in rows)
        return [shown_entry(entry, there) for entry in rows]

    def __len__(self) -> int:
        return self.entries.count()


def activity(request: HttpRequest) -> HttpResponse:
    """All of a team's, paged."""
    feed = entries_of(actor_of(request), team=team_of(request))
    # A Feed slices and counts like the query set behind it; that is all a paginator asks of it.
    pages: Paginator[Entry] = Paginator(feed, PER_PAGE)  # type: ignore[arg-type]
    return page(request, "activity/page.html", {"entries": pages.get_page(request.GET.get("page"))})


def drawer(request: HttpRequest) -> HttpResponse:
    """The drawer of operations, for live.js."""
    return render(request, "layout/_drawer.html")
