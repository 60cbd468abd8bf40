"""The audit log as a file, line by line: CSV for spreadsheets, JSON lines for programs. Called by the page's export."""

import csv
import json
from collections.abc import AsyncIterator, Callable, Iterable
from io import StringIO
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import QuerySet

from opsweb.core.models import AuditEntry
from opsweb.teams.trail import team_name

AT_ONCE = 500  # entries that are held in memory
COLUMNS = ("id", "at", "actor_name", "via", "address", "verb", "kind", "target_id", "target_label", "request_id", "previous", "hash")
HEAD = (*COLUMNS, "team", "details")
# What a spreadsheet takes for the start of a formula, wide forms too (OWASP, CSV injection).
FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001


def facts_of(entry: AuditEntry) -> dict[str, Any]:
    """All of an entry, by column."""
    facts = {name: getattr(entry, name) for name in COLUMNS}
    return {**facts, "at": entry.at.isoformat(), "team": team_name(entry), "details": entry.details}


def as_json(entries: Iterable[AuditEntry]) -> str:
    """A line each."""
    return "".join(json.dumps(facts_of(entry), ensure_ascii=False) + "\n" for entry in entries)


def as_csv(entries: Iterable[AuditEntry]) -> str:
    """A row each (RFC 4180)."""
    return _rows({**facts_of(entry), "details": json.dumps(entry.details, ensure_ascii=False)}.values() for entry in entries)


def csv_head() -> str:
    """The row of names."""
    return _rows([HEAD])


def _rows(rows: Iterable[Iterable[Any]]) -> str:
    out = StringIO()
    csv.writer(out).writerows([cell(value) for value in row] for row in rows)
    return out.getvalue()


def cell(value: object) -> str:
    """A cell that no spreadsheet computes: what looks like a formula gets an apostrophe in front."""
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


FORMS: dict[str, tuple[str, str, Callable[[Iterable[AuditEntry]], str]]] = {  # ending → (content type, head, writer)
    "csv": ("text/csv; charset=utf-8", csv_head(), as_csv),
    "jsonl": ("application/x-ndjson", "", as_json),
}


async def stream(entries: QuerySet[AuditEntry], head: str, write: Callable[[Iterable[AuditEntry]], str]) -> AsyncIterator[str]:
    """Newest first, a few hundred at a time, each behind the last: the server sends while the next are read, and holds no more."""
    yield head
    ready = await sync_to_async(_some)(entries)
    while ready:
        yield write(ready)
        ready = await sync_to_async(_some)(entries.filter(pk__lt=ready[-1].pk))


def _some(entries: QuerySet[AuditEntry]) -> list[AuditEntry]:
    return list(entries.order_by("-pk")[:AT_ONCE])
