"""instances/{id}/console/: a piece of the log by offsets, asked of the host's watcher."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from redis.exceptions import ConnectionError as RedisConnectionError

from instances.api import console
from instances.console import RANGE_BYTES, Chunk, Window
from instances.models import Instance

ApiOf = Callable[..., Any]


class Watcher:
    """Holds the last bytes of a log, and what it was asked."""

    def __init__(self, start: int, data: bytes) -> None:
        self.start, self.data, self.asked = start, data, []

    async def __call__(self, redis: object, host: str, instance: object, start: int, end: int) -> tuple[Window, Chunk]:
        self.asked.append((start, end))
        start = max(start, self.start)
        return Window(self.start, self.start + len(self.data)), Chunk(start, self.data[start - self.start : end - self.start])


@pytest.fixture
def watcher(monkeypatch: pytest.MonkeyPatch) -> Watcher:
    answering = Watcher(1000, b"hello, world\n")
    monkeypatch.setattr(console, "ask", answering)
    monkeypatch.setattr(console, "redis", lambda: None)
    return answering


def test_bytes_come_with_their_addresses(api: ApiOf, vic: User, running: Instance, watcher: Watcher) -> None:
    answer = api(vic).get(f"instances/{running.pk}/console/", **{"from": 1007})
    assert answer.status_code == 200
    assert answer.content == b"world\n"
    assert answer["Content-Type"] == "application/octet-stream"
    assert (answer["Console-Start"], answer["Console-End"], answer["Console-Next"]) == ("1000", "1013", "1013")


def test_what_was_dropped_is_skipped(api: ApiOf, vic: User, running: Instance, watcher: Watcher) -> None:
    answer = api(vic).get(f"instances/{running.pk}/console/", limit=1005)
    assert (answer.content, answer["Console-Next"]) == (b"hello", "1005")


def test_one_answer_has_a_limit(api: ApiOf, vic: User, running: Instance, watcher: Watcher) -> None:
    """INV-16."""
    api(vic).get(f"instances/{running.pk}/console/", limit=1024**2)
    assert watcher.asked == [(0, RANGE_BYTES)]


def test_it_is_never_shown_as_a_page(api: ApiOf, vic: User, running: Instance, watcher: Watcher) -> None:
    """SEC-A6: output is hostile text."""
    answer = api(vic).get(f"instances/{running.pk}/console/")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Disposition"] == 'attachment; filename="web1.log"'


@pytest.mark.parametrize("query", [{"from": -1}, {"from": "x"}, {"from": 2**63}, {"limit": -1}, {"limit": 1024**2 + 1}])
def test_bad_offsets_are_refused(api: ApiOf, vic: User, running: Instance, watcher: Watcher, query: dict[str, Any]) -> None:
    assert api(vic).get(f"instances/{running.pk}/console/", **query).status_code == 422
    assert not watcher.asked


def test_a_stranger_learns_nothing(api: ApiOf, ana: User, foreign: Instance, watcher: Watcher) -> None:
    """INV-15, INV-17."""
    assert api(ana).get(f"instances/{foreign.pk}/console/").status_code == 404
    assert not watcher.asked


def test_a_silent_watcher_is_said(api: ApiOf, vic: User, running: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silence(*_: object) -> None:
        return None

    monkeypatch.setattr(console, "ask", silence)
    monkeypatch.setattr(console, "redis", lambda: None)
    answer = api(vic).get(f"instances/{running.pk}/console/")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "watcher of host local" in answer.json()["message"]


def test_without_redis_it_is_unavailable(api: ApiOf, vic: User, running: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-20."""

    async def refused(*_: object) -> None:
        raise RedisConnectionError("Connection refused")

    monkeypatch.setattr(console, "ask", refused)
    monkeypatch.setattr(console, "redis", lambda: None)
    answer = api(vic).get(f"instances/{running.pk}/console/")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "redis" in answer.json()["message"]
