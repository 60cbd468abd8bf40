"""core.operations: one at a time for each target, claimed and ended once, pushed aside by the table (INV-05, INV-06)."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from opsweb.core import operations
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict
from opsweb.core.models import Operation
from opsweb.core.operations import SUPERSEDES
from opsweb.teams.models import Team

OLGA = Actor(1, "olga")
TARGET = UUID(int=7)


@pytest.fixture
def begin(team: Team) -> Any:
    def make(verb: str, target: UUID = TARGET, kind: str = "instance") -> Operation:
        return operations.begin(OLGA, verb, kind=kind, target_id=target, label="web1", team_id=team.pk)

    return make


def test_the_database_itself_refuses_a_second_active_one(begin: Any, team: Team) -> None:
    """INV-06: nothing in Python has to be right for that."""
    begin("start")
    with pytest.raises(IntegrityError), transaction.atomic():
        Operation.objects.create(kind="instance", target_id=TARGET, target_label="web1", team=team, verb="stop", status="running")


def test_others_are_not_in_the_way(begin: Any) -> None:
    first = begin("start")
    begin("start", uuid4())
    begin("build", TARGET, "image")
    operations.finish(first, "succeeded")
    begin("start")


@pytest.mark.parametrize("verb", ["start", "stop", "force-off", "pause", "resume", "reboot", "reset", "delete"])
@pytest.mark.parametrize("active", ["start", "stop", "force-off", "pause", "resume", "reboot", "reset", "delete"])
def test_the_table_says_what_pushes_what_aside(begin: Any, verb: str, active: str) -> None:
    first = begin(active)
    if active in SUPERSEDES.get(verb, ()):
        second = begin(verb)
        first.refresh_from_db()
        assert (first.status, first.error_code) == ("superseded", "superseded")
        assert "olga" in first.error_message
        assert operations.active("instance", TARGET) == second
    else:
        with pytest.raises(Conflict) as refusal:
            begin(verb)
        assert refusal.value.code == "busy"
        assert operations.active("instance", TARGET) == first


def test_one_can_always_get_rid_of_a_thing() -> None:
    everything = {"start", "stop", "force-off", "pause", "resume", "reboot", "reset", "build"}
    assert SUPERSEDES["delete"] >= everything
    assert SUPERSEDES["force-off"] >= everything - {"force-off", "build"}
    assert not any("delete" in pushed for pushed in SUPERSEDES.values())


@pytest.mark.parametrize(("seconds", "said"), [(3, "start by olga, 3 s ago"), (125, "start by olga, 2\xa0minutes ago")])
def test_who_is_second_is_told_who_is_at_it_and_since_when(begin: Any, seconds: int, said: str) -> None:
    begin("start")
    Operation.objects.update(created_at=timezone.now() - timedelta(seconds=seconds))
    with pytest.raises(Conflict, match=said):
        begin("start")


def test_a_claim_is_won_once(begin: Any) -> None:
    """INV-05: a task that is delivered twice."""
    operation = begin("start")
    again = Operation.objects.get()
    assert operations.claim(operation)
    assert not operations.claim(again)
    assert [step["name"] for step in Operation.objects.get().steps] == ["queued"]


def test_an_end_stays(begin: Any) -> None:
    operation = begin("start")
    assert operations.finish(operation, "failed", "start_failed", "No.")
    assert not operations.finish(Operation.objects.get(), "succeeded")
    assert not operations.claim(Operation.objects.get())
    ended = Operation.objects.get()
    assert (ended.status, ended.error_code, ended.error_message, ended.is_active) == ("failed", "start_failed", "No.", False)
    assert ended.finished_at is not None


def test_a_step_that_fails_is_kept(begin: Any) -> None:
    operation = begin("start")
    with pytest.raises(ZeroDivisionError), operations.step(operation, "image"):
        raise ZeroDivisionError
    (step,) = Operation.objects.get().steps
    assert step["name"] == "image"
    assert step["ms"] >= 0


def test_short_steps_are_written_down_together(begin: Any) -> None:
    """And all of them before anybody else reads the end."""
    operation = begin("start")
    for name in ("queued", "ports", "rules"):
        operations.add_step(operation, name, started=0)
    assert [step["name"] for step in Operation.objects.get().steps] == ["queued"]
    operations.keep_steps(operation)
    assert [step["name"] for step in Operation.objects.get().steps] == ["queued", "ports", "rules"]
    operations.add_step(operation, "QEMU", started=0)
    operations.finish(operation, "succeeded")
    assert [step["name"] for step in Operation.objects.get().steps] == ["queued", "ports", "rules", "QEMU"]


def test_a_step_of_nobody_is_kept_nowhere(db: None) -> None:
    with operations.step(None, "image"):
        pass
    assert not Operation.objects.exists()
