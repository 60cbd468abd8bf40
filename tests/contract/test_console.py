"""The console from log to viewer, over a real redis: nothing lost, nothing repeated, bounded, one writer (INV-16, INV-17, SEC-A1–A3).

The watcher's own parts run in the test's loop on a log that the test grows as QEMU does.
"""

import asyncio
import uuid
from types import SimpleNamespace

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.db import Error, InterfaceError, OperationalError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from instances import console
from instances.console import Chunk
from instances.watch import vm as vm_module
from instances.watch.watcher import Watcher
from opsweb.environment import env
from opsweb.teams.models import Membership
from tests.contract.consoles import QuietDriver, Viewer, _use_redis, cookie_of, fed, grow, guest, ignore, redis_server, watcher  # noqa: F401
from tests.redis_server import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)


async def test_replays_and_goes_on_live(guest: SimpleNamespace, watcher: Watcher, olga: User) -> None:
    grow(guest, b"before\n")
    viewer = await Viewer(guest, await cookie_of(olga)).open()
    assert await viewer.until(7) == b"before\n"
    grow(guest, b"after\n")
    assert await viewer.until(13) == b"before\nafter\n"
    await viewer.close()


async def test_resumes_at_an_offset_without_loss_or_repeat(guest: SimpleNamespace, watcher: Watcher, olga: User) -> None:
    grow(guest, b"0123456789")
    viewer = await Viewer(guest, await cookie_of(olga)).open(**{"from": 4})
    assert await viewer.until(6) == b"456789"
    assert viewer.start == 4
    await viewer.close()


async def test_bytes_older_than_the_stream_come_from_the_watcher(guest: SimpleNamespace, watcher: Watcher, olga: User) -> None:
    """The stream keeps the newest bytes alone; a viewer from the beginning still gets every byte of the kept window, in order."""
    text = b"".join(b"line %06d\n" % number for number in range(9000))
    for at in range(0, len(text), 50_000):
        grow(guest, text[at : at + 50_000])
        await asyncio.sleep(0)
    await fed(guest, len(text))
    kept_from = watcher._vms[guest.id]._log.start
    viewer = await Viewer(guest, await cookie_of(olga)).open()
    assert await viewer.until(len(text) - kept_from) == text[kept_from:]
    await viewer.close()


async def test_redis_keeps_a_bounded_part(guest: SimpleNamespace, watcher: Watcher) -> None:
    """INV-16: under 1 MiB for each VM."""
    for number in range(1, 41):
        grow(guest, b"x" * 64 * 1024)
        await fed(guest, number * 64 * 1024)
    async with Redis.from_url(env.redis) as client:
        assert await client.xlen(console.stream_key(guest.id)) == console.KEPT_ENTRIES
        assert await client.memory_usage(console.stream_key(guest.id)) < 1024 * 1024


async def test_a_viewer_that_stops_reading_is_sent_no_more_than_its_window(guest: SimpleNamespace, watcher: Watcher, olga: User) -> None:
    """INV-16: a slow browser costs a bounded amount of memory."""
    viewer = await Viewer(guest, await cookie_of(olga)).open(window=8192)
    await viewer.until_text("hello")
    grow(guest, b"y" * 60_000)
    await viewer.until_silent()
    assert 8192 <= len(viewer.data) <= 8192 + 16 * console.CHUNK


async def test_a_restarted_watcher_goes_on_where_the_stream_ended(
    guest: SimpleNamespace, watcher: Watcher, olga: User, redis_server: RedisServer
) -> None:
    """INV-01: a dead watcher or redis costs no byte."""
    viewer = await Viewer(guest, await cookie_of(olga)).open()
    grow(guest, b"one ")
    await viewer.until(4)
    old = watcher._vms.pop(guest.id)
    await old.close()
    grow(guest, b"two ")
    driver = QuietDriver(guest.directory)
    watcher._vms[guest.id] = vm_module.VmWatch(guest.id, driver, watcher._inotify, keep=64 * 1024, hint=lambda vm: None, first_byte=ignore)  # type: ignore[arg-type]
    assert await viewer.until(8) == b"one two "
    await viewer.until_text("writer")  # the last that its socket asks of redis by itself: without an answer it would end
    redis_server.kill()
    grow(guest, b"three")
    redis_server.start()
    assert await viewer.until(13) == b"one two three"
    await viewer.close()


async def test_one_writer_and_take_over(guest: SimpleNamespace, watcher: Watcher, olga: User, ana: User) -> None:
    typed: list[bytes] = []
    watcher._vms[guest.id].type_in = typed.append  # type: ignore[method-assign]
    first = await Viewer(guest, await cookie_of(olga)).open()
    assert (await first.until_text("hello"))["you_write"] is True
    second = await Viewer(guest, await cookie_of(ana)).open()
    hello = await second.until_text("hello")
    assert (hello["you_write"], hello["writer"], hello["viewers"]) == (False, "olga", 2)
    await second.say({"type": "write", "data": "refused"})
    await second.say({"type": "take"})
    await second.until_text("writer", you_write=True)
    await first.until_text("writer", you_write=False, writer="ana")
    await second.say({"type": "write", "data": "ls\n"})
    await first.say({"type": "write", "data": "refused too"})
    async with asyncio.timeout(20):
        while not typed:
            await asyncio.sleep(0.01)
    await first.close()
    await second.until_text("writer", viewers=1)
    assert typed == [b"ls\n"]
    await second.close()


async def test_a_viewer_of_the_team_reads_and_never_writes(guest: SimpleNamespace, watcher: Watcher, vic: User) -> None:
    typed: list[bytes] = []
    watcher._vms[guest.id].type_in = typed.append  # type: ignore[method-assign]
    viewer = await Viewer(guest, await cookie_of(vic)).open()
    hello = await viewer.until_text("hello")
    assert (hello["may_write"], hello["you_write"]) == (False, False)
    await viewer.say({"type": "take"})
    await viewer.say({"type": "write", "data": "rm"})
    grow(guest, b"still reading")
    await viewer.until(13)
    assert typed == []
    await viewer.close()


async def test_old_input_is_dropped(guest: SimpleNamespace, watcher: Watcher) -> None:
    """Never typed late."""
    typed: list[bytes] = []
    watcher._vms[guest.id].type_in = typed.append  # type: ignore[method-assign]
    await watcher._take({"type": "input", "instance": str(guest.id), "at": 0, "data": "late"})
    assert typed == []


@pytest.mark.parametrize("origin", [b"http://evil.example", b"null", b"http://testserver:8080", b"https://testserver", None])
async def test_a_foreign_origin_is_refused_before_the_upgrade(guest: SimpleNamespace, olga: User, origin: bytes | None) -> None:
    """SEC-A1, each part of the origin counts; none at all needs a token."""
    headers = ((b"origin", origin),) if origin is not None else ()
    viewer = Viewer(guest, await cookie_of(olga), headers)
    connected, code = await viewer.socket.connect()
    assert (connected, code) == (False, 4403)


async def test_a_wrong_token_is_refused_before_the_upgrade(guest: SimpleNamespace) -> None:
    """SEC-A2."""
    viewer = Viewer(guest, "", ((b"authorization", b"Bearer ow_wrong"),))
    assert await viewer.socket.connect() == (False, 4401)


async def test_somebody_elses_console_is_like_one_that_is_not_there(guest: SimpleNamespace, nobody: User) -> None:
    """INV-15."""
    cookie = await cookie_of(nobody)
    theirs = await Viewer(guest, cookie).socket.connect()
    absent = await Viewer(SimpleNamespace(id=uuid.uuid4()), cookie).socket.connect()
    assert theirs == absent == (False, 4404)


async def test_a_lost_right_ends_the_socket(guest: SimpleNamespace, watcher: Watcher, olga: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-17."""
    monkeypatch.setattr("opsweb.teams.consumers.RECHECK_SECONDS", 0.1)
    viewer = await Viewer(guest, await cookie_of(olga)).open()
    await viewer.until_text("hello")
    await database_sync_to_async(Membership.objects.filter(user=olga).delete)()
    await viewer.until_text("bye")
    assert (await viewer.socket.receive_output(5))["type"] == "websocket.close"


async def test_a_right_lost_while_redis_is_away_ends_the_socket(
    guest: SimpleNamespace, watcher: Watcher, olga: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INV-17."""
    monkeypatch.setattr("opsweb.teams.consumers.RECHECK_SECONDS", 0.1)
    viewer = await Viewer(guest, await cookie_of(olga)).open()
    await viewer.until_text("hello")
    refused = asyncio.Event()

    async def renew(*_: object) -> None:
        refused.set()
        raise RedisError("away")

    monkeypatch.setattr("instances.presence.renew", renew)
    async with asyncio.timeout(20):
        await refused.wait()
    await database_sync_to_async(Membership.objects.filter(user=olga).delete)()
    await viewer.until_text("bye")


@pytest.mark.parametrize("error", [OperationalError("database is locked"), InterfaceError("connection already closed")])
async def test_a_right_lost_while_the_database_was_away_ends_the_socket(
    guest: SimpleNamespace, watcher: Watcher, olga: User, monkeypatch: pytest.MonkeyPatch, error: Error
) -> None:
    """INV-17: whoever could not look looks again."""
    monkeypatch.setattr("opsweb.teams.consumers.RECHECK_SECONDS", 0.1)
    viewer = await Viewer(guest, await cookie_of(olga)).open()
    await viewer.until_text("hello")
    asked = asyncio.Event()

    def look(_: object) -> None:
        asked.set()
        raise error

    with monkeypatch.context() as away:
        away.setattr("opsweb.teams.sockets.Identity._look", look)
        async with asyncio.timeout(20):
            await asked.wait()
    grow(guest, b"still reading")
    await viewer.until(13)
    await database_sync_to_async(Membership.objects.filter(user=olga).delete)()
    await viewer.until_text("bye")
    assert (await viewer.socket.receive_output(5))["code"] == 4404


@pytest.mark.parametrize("is_silent", [False, True], ids=["refuses", "says nothing"])
async def test_a_database_that_stays_away_ends_the_socket(
    guest: SimpleNamespace, watcher: Watcher, olga: User, monkeypatch: pytest.MonkeyPatch, is_silent: bool
) -> None:
    """INV-17: a right that nobody can look at counts for a while only. No bye: the viewer may come again."""
    monkeypatch.setattr("opsweb.teams.consumers.RECHECK_SECONDS", 0.05)
    monkeypatch.setattr("opsweb.teams.consumers.UNCHECKED_SECONDS", 0.5)
    viewer = await Viewer(guest, await cookie_of(olga)).open()
    await viewer.until_text("hello")

    async def actor(_: object) -> None:
        if is_silent:
            await asyncio.Event().wait()
        raise OperationalError("server closed the connection")

    with monkeypatch.context() as away:
        away.setattr("opsweb.teams.sockets.Identity.actor", actor)
        async with asyncio.timeout(20):
            while (closed := await viewer.socket.receive_output(20))["type"] == "websocket.send":
                assert "bye" not in closed["text"]
    assert closed == {"type": "websocket.close", "code": 4503}
    again = await Viewer(guest, await cookie_of(olga)).open()
    await again.until_text("hello")
    await again.close()


async def test_nonsense_ends_the_socket(guest: SimpleNamespace, watcher: Watcher, olga: User) -> None:
    viewer = await Viewer(guest, await cookie_of(olga)).open()
    await viewer.until_text("hello")
    await viewer.socket.say("[]")
    async with asyncio.timeout(20):
        while (await viewer.socket.receive_output(5))["type"] != "websocket.close":
            pass


def test_an_answer_survives_the_wire() -> None:
    window, chunk = console.Window(5, 99), Chunk(7, b"a\nb\x00")
    assert console.decode_answer(console.encode_answer(window, chunk)) == (window, chunk)
