"""What a hostile client of the console tries: nothing outlives its right or its socket, and no message reaches further than it may."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from redis.asyncio import Redis

from instances import console, presence
from instances.watch.watcher import Watcher
from opsweb.environment import env
from opsweb.teams.models import Membership
from tests.contract.consoles import Viewer, _use_redis, cookie_of, guest, redis_server, watcher  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)


async def until_closed(viewer: Viewer) -> None:
    async with asyncio.timeout(5):
        while (await viewer.socket.receive_output(5))["type"] != "websocket.close":
            pass


def typed_of(watcher: Watcher, guest: SimpleNamespace) -> list[bytes]:
    typed: list[bytes] = []
    watcher._vms[guest.id].type_in = typed.append  # type: ignore[method-assign]
    return typed


async def until_typed(typed: list[bytes], text: bytes) -> None:
    async with asyncio.timeout(5):
        while text not in typed:
            await asyncio.sleep(0.01)


def tasks_of_consoles() -> set[str]:
    return {task.get_coro().__qualname__ for task in asyncio.all_tasks() if "Console" in task.get_coro().__qualname__}  # type: ignore[union-attr]


async def test_half_a_surrogate_pair_does_not_end_the_watcher(guest: SimpleNamespace, watcher: Watcher, olga: User) -> None:
    """INV-01: one operator's key stroke is no end of everybody's console."""
    typed = typed_of(watcher, guest)
    viewer = await Viewer(guest, await cookie_of(olga)).open()
    await viewer.until_text("hello")
    await viewer.socket.say('{"type": "write", "data": "\\ud800"}')
    await until_closed(viewer)
    await viewer.close()
    again = await Viewer(guest, await cookie_of(olga)).open()
    await again.until_text("hello")
    await again.say({"type": "write", "data": "ls\n"})
    await until_typed(typed, b"ls\n")
    await again.close()


@pytest.mark.parametrize("message", ["{", "[]", '{"type": "look"}', '{"type": "input", "instance": "x"}', '{"type":"range","instance":7}'])
async def test_a_message_of_nobodys_protocol_does_not_end_the_watcher(
    guest: SimpleNamespace, watcher: Watcher, olga: User, message: str
) -> None:
    """INV-12: who may write to redis may not stop the watcher with a word."""
    typed = typed_of(watcher, guest)
    async with Redis.from_url(env.redis) as client:
        await client.publish(console.watcher_channel(env.host), message)
        assert await console.type_in(client, env.host, guest.id, "still here")
    await until_typed(typed, b"still here")


async def test_nothing_is_typed_before_the_console_is_open(guest: SimpleNamespace, watcher: Watcher, olga: User) -> None:
    """INV-17: only an open console is looked at again, so only that may write."""
    typed = typed_of(watcher, guest)
    viewer = Viewer(guest, await cookie_of(olga))
    assert (await viewer.socket.connect())[0]
    await viewer.say({"type": "take"})
    await viewer.say({"type": "write", "data": "early"})
    await until_closed(viewer)
    assert typed == []


async def test_a_lost_right_ends_a_socket_that_never_opened_its_console(
    guest: SimpleNamespace, watcher: Watcher, olga: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INV-17."""
    monkeypatch.setattr("opsweb.teams.consumers.RECHECK_SECONDS", 0.1)
    viewer = Viewer(guest, await cookie_of(olga))
    assert (await viewer.socket.connect())[0]
    await database_sync_to_async(Membership.objects.filter(user=olga).delete)()
    await until_closed(viewer)


NESTED = "[" * 200_000


@pytest.mark.parametrize(
    "frame",
    [
        "x",
        NESTED,
        '{"type": "ack", "offset": 1e999}',
        '{"type": "ack", "offset": "many"}',
        '{"type": "ack", "offset": ' + "9" * 5000 + "}",
        '{"type": {}}',
        '{"type": "write", "data": 7}',
        '{"type": "write", "data": "' + "x" * 9000 + '"}',
        b"\x00\x01",
    ],
    ids=lambda frame: str(frame[:30]),
)
async def test_nonsense_ends_the_socket_and_leaves_nothing(guest: SimpleNamespace, watcher: Watcher, olga: User, frame: Any) -> None:
    """INV-16: what a socket started ends with it, whatever it said last."""
    viewer = await Viewer(guest, await cookie_of(olga)).open()
    await viewer.until_text("hello")
    message = {"bytes": frame} if isinstance(frame, bytes) else {"text": frame}
    await viewer.socket.send_input({"type": "websocket.receive", **message})
    await until_closed(viewer)
    await viewer.close()
    async with asyncio.timeout(5), Redis.from_url(env.redis) as client:
        while tasks_of_consoles() or await presence.viewers(client, guest.id):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("start", [1e308, -5, "7", 10**30, float("inf"), [], {}])
async def test_any_start_is_survived(guest: SimpleNamespace, watcher: Watcher, olga: User, start: Any) -> None:
    """SEC-I1: a place in the log, or a refusal."""
    viewer = Viewer(guest, await cookie_of(olga))
    assert (await viewer.socket.connect())[0]
    await viewer.socket.say(json.dumps({"type": "open", "from": start}))
    answer = await viewer.socket.receive_output(5)
    assert answer["type"] == "websocket.close" or json.loads(answer["text"])["type"] == "hello"
    await viewer.close()
