"""GET operations/ and operations/{id}/: what is being done, and the wait for its end."""

import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User

from instances.models import Instance
from opsweb.core import operations
from opsweb.core.access import SYSTEM
from opsweb.core.models import Operation
from opsweb.teams.api.waiting import hold
from opsweb.teams.models import Team
from tests.conftest import nothing_changes

ApiOf = Callable[..., Any]


def begin(instance: Instance, verb: str = "start") -> Operation:
    return operations.begin(SYSTEM, verb, kind="instance", target_id=instance.pk, label=instance.name, team_id=instance.team_id)


def test_an_operation_is_shown_with_its_steps(api: ApiOf, vic: User, stopped: Instance) -> None:
    operation = begin(stopped)
    operations.claim(operation)
    operations.add_step(operation, "start", started=operation.created_at.timestamp())
    operations.keep_steps(operation)
    answer = api(vic).get(f"operations/{operation.pk}/")
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["verb"], shown["status"], shown["target_label"]) == ("start", "running", "idle")
    assert [step["name"] for step in shown["steps"]] == ["queued", "start"]


def test_the_list_holds_active_ones_of_a_target(api: ApiOf, vic: User, stopped: Instance, running: Instance) -> None:
    done, active = begin(stopped), begin(running, "stop")
    operations.finish(done, Operation.Status.SUCCEEDED)
    assert {item["id"] for item in api(vic).get("operations/").json()["items"]} == {str(done.pk), str(active.pk)}
    assert [item["id"] for item in api(vic).get("operations/", active=1).json()["items"]] == [str(active.pk)]
    assert api(vic).get("operations/", target_id=str(stopped.pk)).json()["count"] == 1


def test_somebody_elses_operation_is_like_none_at_all(api: ApiOf, vic: User, foreign: Instance) -> None:
    """INV-15."""
    theirs, absent = api(vic).get(f"operations/{begin(foreign).pk}/"), api(vic).get(f"operations/{uuid4()}/")
    assert theirs.status_code == absent.status_code == 404
    assert theirs.json() | {"request_id": ""} == absent.json() | {"request_id": ""}
    assert api(vic).get("operations/").json() == {"items": [], "count": 0}


def test_reading_changes_nothing(api: ApiOf, vic: User, stopped: Instance) -> None:
    """SEC-H1."""
    operation = begin(stopped)
    with nothing_changes(Operation, Instance):
        api(vic).get(f"operations/{operation.pk}/")
        api(vic).get("operations/")


@pytest.mark.parametrize("query", [{"wait": "x"}, {"wait": -1}, {"wait": 61}])
def test_a_bad_wait_is_refused(api: ApiOf, vic: User, stopped: Instance, query: dict[str, Any]) -> None:
    answer = api(vic).get(f"operations/{begin(stopped).pk}/", **query)
    assert answer.status_code == 422
    assert list(answer.json()["fields"]) == ["wait"]


def test_what_is_over_is_not_waited_for(api: ApiOf, vic: User, stopped: Instance) -> None:
    operation = begin(stopped)
    operations.finish(operation, Operation.Status.FAILED, "start_failed", "No.")
    started = time.monotonic()
    shown = api(vic).get(f"operations/{operation.pk}/", wait=30).json()
    assert time.monotonic() - started < 5
    assert (shown["status"], shown["error_code"], shown["error_message"]) == ("failed", "start_failed", "No.")


def test_a_wait_ends_with_its_time(api: ApiOf, vic: User, stopped: Instance) -> None:
    shown = api(vic).get(f"operations/{begin(stopped).pk}/", wait=0.2).json()
    assert shown["status"] == "queued"


@pytest.mark.django_db(transaction=True)
def test_a_wait_ends_with_the_operation(api: ApiOf, vic: User, stopped: Instance, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is held in another thread; the end of the operation lets it go long before its time."""
    operation, answers = begin(stopped), []
    client, looked = api(vic), threading.Event()
    turns = threading.Lock()  # of SQLite in memory a reader and a writer at once get an error, where a file would let one wait

    def hold_by_turns(look: Callable[[], Operation], *arguments: Any, **more: Any) -> Operation:
        def look_alone() -> Operation:
            with turns:
                looked.set()
                return look()

        return hold(look_alone, *arguments, **more)

    monkeypatch.setattr("instances.api.operations.hold", hold_by_turns)
    thread = threading.Thread(target=lambda: answers.append(client.get(f"operations/{operation.pk}/", wait=30).json()), daemon=True)
    thread.start()
    assert looked.wait(15)
    with turns:
        operations.finish(operation, Operation.Status.SUCCEEDED)
    thread.join(15)
    assert [answer["status"] for answer in answers] == ["succeeded"]


def test_a_list_costs_the_same_for_3_and_30(api: ApiOf, vic: User, team: Team, django_assert_num_queries: Any) -> None:
    def fill(number: int) -> None:
        for _ in range(number):
            operations.begin(SYSTEM, "start", kind="instance", target_id=uuid4(), label="x", team_id=team.pk)

    client = api(vic)
    fill(3)
    with django_assert_num_queries(5):  # session, user, roles, rows, count
        assert client.get("operations/").json()["count"] == 3
    fill(27)
    with django_assert_num_queries(5):
        assert client.get("operations/").json()["count"] == 30
