"""The audit log's chain: what anybody changes in it behind the panel's back is found (INV-18)."""

import importlib
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from opsweb.core import audit, chain
from opsweb.core.access import SYSTEM
from opsweb.core.models import AuditChain, AuditEntry
from opsweb.teams.models import Team
from tests.unit.conftest import AtOnce

MANY = 12


def add(n: int) -> None:
    audit.record(SYSTEM, "team.change", kind="team", target_id=n, label=f"team {n}", team_id=None, details={"fields": ["é", n], n: 1.5})


def write(number: int = 5) -> list[AuditEntry]:
    """That many entries; all there are, oldest first."""
    for n in range(number):
        add(n)
    return list(AuditEntry.objects.order_by("pk"))


def sql(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def verified() -> str:
    out = StringIO()
    call_command("verify_audit", stdout=out)
    return out.getvalue()


def test_an_untouched_log_fits(db: None, django_assert_num_queries: Callable[[int], Any]) -> None:
    assert "0 entries fit. Head: none yet" in verified()
    entries = write()
    assert f"5 entries fit. Head: {entries[-1].hash}" in verified()
    assert [entry.previous for entry in entries] == ["", *(entry.hash for entry in entries[:-1])]
    with transaction.atomic(), django_assert_num_queries(2):  # the chain costs a change one query
        add(1)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("actor_name", "eve"),
        ("actor_id", 7),
        ("team_id", 7),
        ("verb", "team.add"),
        ("target_label", "other"),
        ("details", "{}"),
        ("address", "192.0.2.1"),
        ("at", "2020-01-01 00:00:00+00"),
        ("previous", "ab"),
        ("hash", "ab"),
    ],
)
def test_an_edit_is_found(db: None, column: str, value: object) -> None:
    third = write()[2]
    sql(f"UPDATE core_auditentry SET {column} = %s WHERE id = %s", value, third.pk)
    with pytest.raises(CommandError, match=rf"Entry {third.pk} .* 2 before it fit"):
        verified()


@pytest.mark.parametrize("place", range(5))
def test_a_removed_entry_is_found(db: None, place: int) -> None:
    """The newest, too."""
    entries = write()
    sql("DELETE FROM core_auditentry WHERE id = %s", entries[place].pk)
    with pytest.raises(CommandError, match=rf"Entry {entries[place + 1].pk} " if place < 4 else "missing"):
        verified()


def test_an_empty_log_that_was_not_is_found(db: None) -> None:
    write()
    sql("DELETE FROM core_auditentry")
    with pytest.raises(CommandError, match="missing"):
        verified()


def test_swapped_entries_are_found(db: None) -> None:
    one, other = write()[1:3]
    for old, new in ((one.pk, 0), (other.pk, one.pk), (0, other.pk)):
        sql("UPDATE core_auditentry SET id = %s WHERE id = %s", new, old)
    with pytest.raises(CommandError, match=f"Entry {one.pk} "):
        verified()


def forged(behind: AuditEntry, pk: int) -> AuditEntry:
    """As somebody makes it who knows how the chain is made."""
    entry = AuditEntry(pk=pk, at=timezone.now(), actor_name="eve", via="browser", verb="x", kind="team", target_id="1", target_label="x")
    entry.previous, entry.hash = behind.hash, chain.joined(behind.hash, chain.digest_of(entry))
    return entry


def test_an_entry_put_in_between_is_found(db: None) -> None:
    entries = write(2)
    sql("UPDATE core_auditentry SET id = %s WHERE id = %s", entries[1].pk + 5, entries[1].pk)
    forged(entries[0], entries[1].pk).save(force_insert=True)
    with pytest.raises(CommandError, match=f"Entry {entries[1].pk + 5} does not follow"):
        verified()


def test_an_entry_put_at_the_end_is_found(db: None) -> None:
    last = write()[-1]
    forged(last, last.pk + 1).save(force_insert=True)
    with pytest.raises(CommandError, match=f"Entry {last.pk + 1} was not written by the panel"):
        verified()


def test_nobody_changes_or_deletes_an_entry(db: None) -> None:
    entry = write(1)[0]
    entry.verb = "other"
    changes = (entry.save, entry.delete, AuditEntry.objects.all().delete, lambda: AuditEntry.objects.update(verb="other"))
    for change in changes:
        with pytest.raises(TypeError):
            change()
    assert AuditEntry.objects.get().verb == "team.change"


def test_who_is_gone_stays_in_the_log(team: Team, ana: User) -> None:
    """Deleting a person or a team changes no entry."""
    actor = audit.Actor(user_id=ana.pk, name="ana")
    audit.record(actor, "team.change", kind="team", target_id=team.pk, label="payments", team_id=team.pk)
    before = AuditEntry.objects.values().get()
    ana.delete()
    team.delete()
    assert AuditEntry.objects.values().get() == before
    assert "1 entries fit" in verified()


def test_what_is_taken_back_leaves_no_gap(db: None) -> None:
    write(2)
    with transaction.atomic():
        write(2)
        transaction.set_rollback(True)
    write(2)
    assert "4 entries fit" in verified()


def test_writers_at_once_keep_one_chain(file_database: None, at_once: AtOnce) -> None:
    """Each in a transaction with several entries."""

    def change() -> None:
        with transaction.atomic():
            write(3)

    write(1)
    at_once([change] * MANY)
    assert f"{3 * MANY + 1} entries fit" in verified()
    assert AuditEntry.objects.values("previous").distinct().count() == 3 * MANY + 1


def test_the_log_is_verified_while_others_write(file_database: None, at_once: AtOnce) -> None:
    write(1)
    results = at_once([lambda: write(20)] * 3 + [verified] * 3)
    assert all("fit" in result for result in results[3:])


def test_entries_of_before_are_chained(db: None) -> None:
    """The migration, over more than it holds at once."""
    migration = importlib.import_module("opsweb.core.migrations.0005_chained")
    write(7)
    hashes = list(AuditEntry.objects.order_by("pk").values_list("hash", flat=True))
    AuditChain.objects.all().delete()
    sql("UPDATE core_auditentry SET previous = '', hash = ''")
    with pytest.raises(CommandError):
        verified()
    migration.AT_ONCE = 3
    migration.chain(Past, None)
    assert list(AuditEntry.objects.order_by("pk").values_list("hash", flat=True)) == hashes
    write(1)
    assert "8 entries fit" in verified()


class Past:
    """The models as a migration has them: without what refuses changes."""

    @staticmethod
    def get_model(app: str, name: str) -> Any:
        model = apps.get_model(app, name)
        return type(name, (), {"objects": model._base_manager})
