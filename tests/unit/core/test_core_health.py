"""/healthz: ready when every part is, and says which is not."""

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisConnectionError

from opsweb.core import health
from opsweb.core.models import Host


@pytest.fixture
def ready(host: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Every part is at work."""
    monkeypatch.setitem(health.CHECKS, "redis", lambda since: "")
    Host.objects.update(worker_seen_at=timezone.now(), watcher_seen_at=timezone.now())
    return host


def test_all_is_well(ready: Host) -> None:
    answer = Client().get("/healthz")
    assert (answer.status_code, answer.json()) == (
        200,
        {"ready": True, "parts": dict.fromkeys(("database", "redis", "worker", "watcher"), "ready")},
    )


@pytest.mark.parametrize("part", ["worker", "watcher"])
@pytest.mark.parametrize(("at", "said"), [(None, "has not come up yet"), (timezone.now() - timedelta(hours=1), "silent for")])
def test_a_silent_part_is_named(ready: Host, part: str, at: object, said: str) -> None:
    Host.objects.update(**{f"{part}_seen_at": at})
    answer = Client().get("/healthz")
    assert answer.status_code == 503
    assert said in answer.json()["parts"][part]


@pytest.mark.parametrize(
    ("part", "error"),
    [("database", OperationalError("locked")), ("redis", RedisConnectionError("refused")), ("redis", OSError("no socket"))],
)
def test_a_part_that_fails_is_named(ready: Host, monkeypatch: pytest.MonkeyPatch, part: str, error: Exception) -> None:
    """INV-20."""

    def fail(since: float) -> str:
        raise error

    monkeypatch.setitem(health.CHECKS, part, fail)
    answer = Client().get("/healthz")
    assert answer.status_code == 503
    assert str(error) in answer.json()["parts"][part]
