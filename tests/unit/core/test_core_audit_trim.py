"""Old entries go, what stays is a chain, and nothing that was tampered with goes unseen (INV-18)."""

import logging
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from django.conf import settings
from django.core.management import CommandError
from django.utils import timezone

from opsweb.core import audit, tasks
from opsweb.core.models import AuditEntry
from opsweb.environment import env
from tests.unit.conftest import AtOnce
from tests.unit.core.test_core_audit import MANY, add, sql, verified, write

DAY = timedelta(days=1)


def aged(*days: int) -> list[AuditEntry]:
    """An entry for each, that many days old, in this order."""
    now = datetime.now(UTC)
    for n, day in enumerate(days):
        with patch.object(timezone, "now", lambda at=now - day * DAY: at):
            add(n)
    return list(AuditEntry.objects.order_by("pk"))


def left() -> list[int]:
    return list(AuditEntry.objects.order_by("pk").values_list("pk", flat=True))


@pytest.mark.parametrize("at_once", [1, 2, 500])
def test_what_is_left_verifies(db: None, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(audit, "AT_ONCE", at_once)
    entries = aged(9, 8, 7, 3, 2)
    assert audit.trim(timezone.now() - 5 * DAY) == 3
    assert left()[:2] == [entry.pk for entry in entries[3:]]
    trimmed = AuditEntry.objects.latest("pk")
    assert (trimmed.verb, trimmed.via, trimmed.details["entries"]) == ("audit.trim", "system", 3)
    assert "3 entries fit" in verified()
    sql("DELETE FROM core_auditentry WHERE id = %s", entries[3].pk)
    with pytest.raises(CommandError, match=f"Entry {entries[4].pk} "):
        verified()


def test_nothing_old_leaves_no_entry(db: None) -> None:
    entries = aged(3, 2)
    assert audit.trim(timezone.now() - 5 * DAY) == 0
    assert left() == [entry.pk for entry in entries]


def test_all_of_them_may_go(db: None) -> None:
    aged(9, 8)
    assert audit.trim(timezone.now() - 5 * DAY) == 2
    assert "1 entries fit" in verified()


def test_an_old_entry_behind_a_young_one_stays(db: None) -> None:
    """A clock that was put back leaves no hole in the chain."""
    entries = aged(9, 1, 8)
    assert audit.trim(timezone.now() - 5 * DAY) == 1
    assert left()[:2] == [entry.pk for entry in entries[1:]]
    assert "3 entries fit" in verified()


def test_what_does_not_fit_stays(db: None, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for the trace of a change to be removed."""
    entries = aged(9, 8, 7, 2)
    sql("UPDATE core_auditentry SET actor_name = 'eve' WHERE id = %s", entries[1].pk)
    with caplog.at_level(logging.ERROR):
        assert audit.trim(timezone.now() - 5 * DAY) == 1
    assert f"Entry {entries[1].pk} was changed" in caplog.text
    with pytest.raises(CommandError, match=f"Entry {entries[1].pk} was changed"):
        verified()


def test_trims_and_writers_at_once_keep_one_chain(file_database: None, at_once: AtOnce, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "AT_ONCE", 2)
    aged(*[9] * 8)
    before = timezone.now() - 5 * DAY
    results = at_once([lambda: audit.trim(before)] * 2 + [lambda: write(2)] * MANY + [verified] * 2)
    assert sum(results[:2]) == 8
    assert all("fit" in result for result in results[-2:])
    trims = AuditEntry.objects.filter(verb="audit.trim").count()
    assert f"{2 * MANY + trims} entries fit" in verified()


def test_the_task_keeps_everything_unless_told(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    aged(9, 2)
    tasks.trim_audit()
    assert AuditEntry.objects.count() == 2
    monkeypatch.setattr(env, "audit_days", 5)
    tasks.trim_audit()
    assert [entry.verb for entry in AuditEntry.objects.order_by("pk")] == ["team.change", "audit.trim"]


@pytest.mark.parametrize(("days", "is_there"), [("", False), ("0", False), ("30", True)])
def test_beat_has_the_task_when_days_are_set(days: str, is_there: bool) -> None:
    said = "from opsweb.settings import CELERY_BEAT_SCHEDULE as s; print('core.trim_audit' in [e['task'] for e in s.values()])"
    environ = {"SECRET_KEY": "k" * 50, "OPSWEB_AUDIT_DAYS": days} if days else {"SECRET_KEY": "k" * 50}
    done = subprocess.run([sys.executable, "-c", said], env=environ, cwd=settings.BASE_DIR, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(is_there)
