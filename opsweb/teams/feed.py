"""The audit log in sentences, for feeds of every page. Called by the views of both apps."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.apps import apps
from django.db.models import QuerySet
from django.urls import reverse

from opsweb.core import access
from opsweb.core.access import Actor
from opsweb.core.models import AuditEntry, Operation
from opsweb.teams.models import Team

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
    "instance.rules": "changed the rules of",
    "image.create": "made the image",
    "image.delete": "deleted the image",
    "upload.create": "began to upload",
    "upload.cancel": "cancelled the upload of",
    "network.create": "created the network",
    "network.edit": "edited the network",
    "network.delete": "deleted the network",
    "network.repair": "repaired the network",
    "network.link": "linked the network",
    "network.rules": "changed the rules of",
    "group.create": "made the group",
    "group.edit": "edited the group",
    "group.delete": "deleted the group",
    "token.create": "made the token",
    "token.change": "edited the token",
    "token.delete": "deleted the token",
    "publishedaddress.add": "published the address",
    "publishedaddress.change": "edited the published address",
    "publishedaddress.delete": "no longer publishes the address",
    "team.member": "changed the members of",
    "team.role": "changed a role in",
    "team.remove": "took somebody out of",
    "team.leave": "left",
    "team.invite": "made an invitation to",
    "team.revoke": "took back an invitation to",
    "team.join": "joined",
    "team.create": "made the team",
    "team.archive": "archived the team",
    "team.restore": "restored the team",
    "team.quota": "changed the quota of",
    "team.add": "made the team",
    "team.change": "edited the team",
    "team.delete": "deleted the team",
    "user.sign-in": "signed in as",
    "user.add": "made the account",
    "user.change": "edited the account",
    "user.delete": "deleted the account",
    "user.create": "made the account",
    "audit.trim": "removed old entries of",
    "user.password": "changed the password of",
}


PAGES = {"instance": "instances.Instance", "image": "instances.Image", "network": "networks.Network"}  # kinds that have a page of their own


def still_there(targets: Iterable[tuple[str, object]]) -> set[str]:
    """Of (kind, id) pairs, the ids of what still has a page, so that a link leads somewhere. A query for each kind."""
    wanted: dict[str, list[str]] = {kind: [] for kind in PAGES}
    for kind, target in targets:
        wanted.get(kind, []).append(str(target))
    found = (
        apps.get_model(model)._default_manager.filter(pk__in=wanted[kind]).values_list("pk", flat=True) for kind, model in PAGES.items()
    )
    return {str(pk) for pks in found for pk in pks}


def mark_dead(operations: Iterable[Operation]) -> list[Operation]:
    """The operations, each with `is_there`: whether its target still has a page."""
    rows = list(operations)
    there = still_there((row.kind, row.target_id) for row in rows)
    for row in rows:
        row.is_there = str(row.target_id) in there  # type: ignore[attr-defined]
    return rows


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
