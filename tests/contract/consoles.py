"""What the console tests share: a guest's log, a watcher over it, and a browser's side of the socket. Imported by test_*console*.py."""

import asyncio
import json
import struct
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.test import Client
from redis.asyncio import Redis

from instances import console
from instances.hypervisor.base import RunPaths
from instances.models import Image, Instance
from instances.watch import vm as vm_module
from instances.watch.inotify import Inotify
from instances.watch.watcher import Watcher
from opsweb.core.models import Host
from opsweb.environment import env
from opsweb.teams.models import Team
from tests.redis_server import RedisServer, running_redis

ORIGIN = (b"origin", b"http://testserver")


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    """A real redis."""
    with running_redis() as server:
        yield server


@pytest.fixture(autouse=True)
def _use_redis(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, "redis_url", redis_server.url)


class QuietDriver:
    """A driver whose only VM has a log and nothing else: has_sockets is False and nothing ever changes."""

    has_sockets = False

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def paths(self, vm: uuid.UUID) -> RunPaths:
        return RunPaths(run=self.directory, state=self.directory)

    def observe(self, vm: uuid.UUID) -> object:
        return None

    def list(self) -> list[uuid.UUID]:
        return []


@pytest.fixture
def guest(tmp_path: Path, host: Host, team: Team) -> SimpleNamespace:
    """An instance with an empty console log."""
    image = Image.objects.create(team=team, host=host, name="web", digest="0" * 64)
    instance = Instance.objects.create(team=team, host=host, image=image, name="web1", uid_offset=1)
    log = tmp_path / "console.log"
    log.touch()
    return SimpleNamespace(id=instance.pk, log=log, directory=tmp_path, instance=instance)


@pytest.fixture
async def watcher(guest: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watcher]:
    """A watcher that watches this one guest and hears the web."""
    driver = QuietDriver(guest.directory)
    monkeypatch.setattr("instances.watch.watcher.hypervisor", lambda: driver)
    watcher = Watcher(env.host)
    watcher._inotify = Inotify()
    watch = vm_module.VmWatch(guest.id, driver, watcher._inotify, keep=64 * 1024, hint=lambda vm: None, first_byte=ignore)  # type: ignore[arg-type]
    watcher._vms[guest.id] = watch
    hearing = asyncio.create_task(watcher._hear())
    async with asyncio.timeout(20):
        async with Redis.from_url(env.redis) as client:
            while not (await client.pubsub_numsub(console.watcher_channel(env.host)))[0][1]:
                await asyncio.sleep(0.01)
    yield watcher
    hearing.cancel()
    await watch.close()
    watcher._inotify.close()


async def ignore(vm: uuid.UUID) -> None:
    """Nobody counts first bytes here."""


def grow(guest: SimpleNamespace, data: bytes) -> None:
    """What QEMU does."""
    with guest.log.open("ab") as file:
        file.write(data)


class Socket(ApplicationCommunicator):
    """A websocket's client side, in the ASGI server's words."""

    def __init__(self, path: str, headers: list[tuple[bytes, bytes]]) -> None:
        from opsweb.asgi import application

        super().__init__(application, {"type": "websocket", "path": path, "query_string": b"", "headers": headers, "subprotocols": []})

    async def connect(self) -> tuple[bool, int | None]:
        """(let in, or the close code)."""
        await self.send_input({"type": "websocket.connect"})
        answer = await self.receive_output(5)
        return answer["type"] == "websocket.accept", answer.get("code")

    async def say(self, text: str) -> None:
        await self.send_input({"type": "websocket.receive", "text": text})

    async def disconnect(self) -> None:
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(5)


class Viewer:
    """A browser's console, as the protocol has it."""

    def __init__(self, guest: SimpleNamespace, cookie: str, headers: tuple[tuple[bytes, bytes], ...] = (ORIGIN,)) -> None:
        self.socket = Socket(f"/ws/instances/{guest.id}/console/", [*headers, (b"cookie", cookie.encode())])
        self.texts: list[dict[str, Any]] = []
        self.data = b""
        self.start: int | None = None

    async def open(self, **message: Any) -> "Viewer":
        connected, code = await self.socket.connect()
        assert connected, code
        await self.say({"type": "open", "from": None, **message})
        return self

    async def say(self, message: dict[str, Any]) -> None:
        await self.socket.say(json.dumps(message))

    async def step(self, seconds: float = 5, *, ack: bool = True) -> None:
        """Take one message."""
        message = await self.socket.receive_output(seconds)
        assert message["type"] == "websocket.send", message
        if message.get("text"):
            self.texts.append(json.loads(message["text"]))
            return
        (offset,) = struct.unpack(">Q", message["bytes"][:8])
        self.start = offset if self.start is None else self.start
        assert offset == self.start + len(self.data), "a byte came twice, or one is missing"
        self.data += message["bytes"][8:]
        if ack:
            await self.say({"type": "ack", "offset": offset + len(message["bytes"]) - 8})

    async def until_silent(self) -> None:
        """Take messages, acknowledging none, until nothing comes for half a second."""
        with suppress(TimeoutError):
            while True:
                await self.step(0.5, ack=False)

    async def until(self, size: int) -> bytes:
        """Take messages until `size` bytes are here; bounded."""
        async with asyncio.timeout(20):
            while len(self.data) < size:
                await self.step(20)
        return self.data

    async def until_text(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Take messages until one of `kind` with these fields is here; bounded."""
        async with asyncio.timeout(20):
            while True:
                for text in self.texts:
                    if text["type"] == kind and fields.items() <= text.items():
                        return text
                await self.step(20)

    async def close(self) -> None:
        await self.socket.disconnect()


async def cookie_of(user: User) -> str:
    """A session's cookie."""

    def sign_in() -> str:
        client = Client()
        client.force_login(user)
        return "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())

    return await database_sync_to_async(sign_in)()


async def fed(guest: SimpleNamespace, size: int) -> None:
    """Wait until the stream has `size` bytes."""
    async with asyncio.timeout(10), Redis.from_url(env.redis) as client:
        while (await console.last_offset(client, guest.id) or 0) < size:
            await asyncio.sleep(0.01)
