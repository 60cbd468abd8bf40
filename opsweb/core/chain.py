"""The chain of the audit log: each entry's hash is that of its own content and of the entry before. Who holds one hash can tell every
change of what came before it.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from django.db import connection

from opsweb.core.models import AuditChain, AuditEntry

AT_ONCE = 500  # entries that a walk holds in memory

# All that an entry says. A column that comes later must be left out where it is empty, or no entry of before fits any more.
CONTENT = (
    "actor_id",
    "actor_name",
    "via",
    "verb",
    "kind",
    "target_id",
    "target_label",
    "team_id",
    "details",
    "request_id",
    "address",
)

SHA256 = {"sqlite": "SHA256({})", "postgresql": "encode(sha256(convert_to({}, 'UTF8')), 'hex')"}  # Django gives SQLite its SHA256
# One query that locks the head until the commit, reads it and moves it on: on PostgreSQL a second writer waits here for the first.
LENGTHEN = """
    INSERT INTO core_auditchain (id, anchor, previous, head) VALUES (1, '', '', {first})
    ON CONFLICT (id) DO UPDATE SET previous = core_auditchain.head, head = {next}
    RETURNING previous, head
"""


def digest_of(entry: Any) -> str:
    """The sha256 of an entry's canonical content: the same from a new entry and from its row, in both databases."""
    content = {name: getattr(entry, name) for name in CONTENT}
    content["details"] = json.loads(json.dumps(content["details"]))  # as the database gives it back: each key is a text
    content["at"] = entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def joined(previous: str, digest: str) -> str:
    """The hash of an entry with this digest, behind the entry with the hash `previous` ("": the first of all)."""
    return hashlib.sha256((previous + digest).encode()).hexdigest()


def lengthen(digest: str) -> tuple[str, str]:
    """Move the head on by one entry; its previous hash and its own. Call it in the transaction that inserts the entry, just before."""
    sha256 = SHA256[connection.vendor]
    statement = LENGTHEN.format(first=sha256.format("%s"), next=sha256.format("core_auditchain.head || %s"))
    with connection.cursor() as cursor:
        cursor.execute(statement, [digest, digest])
        previous, head = cursor.fetchone()
    return previous, head


@dataclass
class Walk:
    """How far a walk along the chain came, and why no further."""

    head: str  # the hash of the last entry that fits
    entries: int = 0
    last_id: int = 0
    misfit: str = ""  # "" when all fit

    def take(self, entry: AuditEntry) -> bool:
        """Whether the next entry fits behind the last one."""
        if entry.previous != self.head:
            self.misfit = f"Entry {entry.pk} does not follow the one before it: one was removed, added or moved, or it was changed."
        elif joined(self.head, digest_of(entry)) != entry.hash:
            self.misfit = f"Entry {entry.pk} was changed after it was written."
        else:
            self.head, self.last_id, self.entries = entry.hash, entry.pk, self.entries + 1
        return not self.misfit


def verify() -> Walk:
    """Walk the whole chain while others may write. What they write is walked too, until the last entry is the head's."""
    ends = _ends()
    anchor, walk = ends.anchor, Walk(ends.anchor)
    while all(walk.take(entry) for entry in _after(walk.last_id)):
        known, ends = ends.head, _ends()
        if walk.head == ends.head:
            break
        if known == ends.head:  # nobody wrote meanwhile
            walk.misfit = _off(walk, known)
            break
    if walk.misfit and anchor != _ends().anchor:  # old entries went while we looked for the first
        return verify()
    return walk


def _ends() -> AuditChain:
    return AuditChain.objects.first() or AuditChain()


def _after(entry_id: int) -> Iterator[AuditEntry]:
    return AuditEntry.objects.filter(pk__gt=entry_id).order_by("pk").iterator(AT_ONCE)


def _off(walk: Walk, head: str) -> str:
    """What is wrong where all entries fit and the last one is not the one that the panel wrote last."""
    last = AuditEntry.objects.filter(hash=head).first()
    if last is None:
        return f"Entries after {walk.last_id} are missing: the chain's head is none of those that are there."
    extra = AuditEntry.objects.filter(pk__gt=last.pk).order_by("pk").first()
    return f"Entry {extra.pk if extra else walk.last_id} was not written by the panel: the chain ended before it."
