"""core.events and core.queue: said after the commit, by name and id only, and never a reason to fail (INV-12, INV-20)."""

import logging
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction
from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError

from opsweb.core import events, queue


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    heard: list[Any] = []
    monkeypatch.setattr(events, "_send", lambda *what: heard.append(what))
    monkeypatch.setattr(queue, "_send", lambda *what: heard.append(what))
    return heard


def test_nothing_is_said_of_what_was_rolled_back(db: None, told: list[Any], django_capture_on_commit_callbacks: Any) -> None:
    def change_and_fail() -> None:
        with transaction.atomic():
            events.changed("instance", 7, 1)
            queue.enqueue("instances.converge", "host.local", "7")
            raise ZeroDivisionError

    with django_capture_on_commit_callbacks(execute=True), pytest.raises(ZeroDivisionError):
        change_and_fail()
    assert not told


def test_it_is_said_after_the_commit(db: None, told: list[Any], django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        events.changed("instance", 7, 1)
        queue.enqueue("instances.converge", "host.local", "7")
        assert not told
    assert told == [("instance:7", 1), ("instances.converge", "host.local", ("7",), None)]


async def test_the_team_and_superusers_hear_it_and_nobody_else() -> None:
    """INV-14: an event names the thing, never its content."""
    layer = get_channel_layer()
    channels = {}
    for group in (events.team_group(1), events.team_group(2), events.EVERYTHING):
        channels[group] = await layer.new_channel()
        await layer.group_add(group, channels[group])
    await events.send("instance:7", 1)
    for group in (events.team_group(1), events.EVERYTHING):
        assert await layer.receive(channels[group]) == {"type": "opsweb.changed", "changed": "instance:7"}
    assert channels[events.team_group(2)] not in layer.channels


@pytest.mark.parametrize("error", [RedisConnectionError("gone"), ConnectionRefusedError(), OSError("gone")])
def test_without_redis_an_event_is_lost_and_that_is_all(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """INV-20."""

    async def down(*_: object) -> None:
        raise error

    monkeypatch.setattr(type(get_channel_layer()), "group_send", down)
    with caplog.at_level(logging.WARNING):
        async_to_sync(events.send)("instance:7", 1)
        events._send("instance:8", 1)
    assert "instance:7" in caplog.text
    assert "instance:8" in caplog.text


@pytest.mark.parametrize("error", [OperationalError("gone"), ConnectionRefusedError("gone")])
def test_without_a_broker_the_sweep_will_do_it(
    db: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """INV-02, INV-20."""

    def down(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("celery.app.base.Celery.send_task", down)
    with caplog.at_level(logging.WARNING):
        queue._send("instances.converge", "host.local", ("7",), None)
    assert "the sweep will do it" in caplog.text
