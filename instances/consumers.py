"""The console socket: replay from any offset, then live; many viewers, one writer. Protocol: docs/architecture.md, "Console"."""

import asyncio
import json
import struct
import uuid
from contextlib import suppress
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from redis.exceptions import RedisError

from instances import console, presence
from instances.console import Chunk, Window
from instances.models import Instance
from instances.redis_client import redis
from instances.shown import badge
from opsweb.core import access, operations
from opsweb.core.access import Actor
from opsweb.core.errors import Refusal
from opsweb.core.events import EVERYTHING, team_group
from opsweb.teams.consumers import AWAY, until_lost

BLOCK_MS = 4000
MAX_WINDOW = 1024 * 1024
NONSENSE = (ValueError, KeyError, TypeError, OverflowError, RecursionError)  # what reading a hostile message can raise
RETRY_SECONDS = 1.0  # between questions to a watcher that does not answer


class ConsoleConsumer(AsyncWebsocketConsumer):
    """One viewer of one instance's console."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Called by the server; however the socket ends, nothing that it started stays."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._forget()

    async def connect(self) -> None:
        """Let in who may read; everybody else gets the same refusal as for an instance that is not there (INV-15)."""
        try:
            self.instance = await self._fetch(self.scope["actor"])
        except Refusal:
            await self.close(4404)
            return
        self.actor: Actor = self.scope["actor"]
        self.viewer = presence.Viewer(uuid.uuid4().hex, self.actor.name)
        self.position = self.acknowledged = 0
        self.window = MAX_WINDOW
        self.is_open = False
        self.room = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
        self.groups_joined = [team_group(self.instance.team_id), EVERYTHING, self._notes]
        await self.accept()
        self.tasks.append(asyncio.create_task(self._recheck()))

    async def _forget(self) -> None:
        for task in getattr(self, "tasks", []):
            task.cancel()
        if not hasattr(self, "viewer"):
            return
        with suppress(RedisError, OSError):
            await presence.leave(redis(), self.instance.pk, self.viewer)
            for group in self.groups_joined:
                await self.channel_layer.group_discard(group, self.channel_name)
            await self._tell_others()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """A message of the client; anything that is not of the protocol ends the socket."""
        try:
            message = json.loads(text_data or "")
            if self.is_open or message["type"] == "open":
                await self.HANDLERS[message["type"]](self, message)
            else:
                await self.close(4400)
        except NONSENSE:
            await self.close(4400)

    async def _on_open(self, message: dict[str, Any]) -> None:
        if self.is_open:
            return
        self.is_open = True
        self.window = max(4096, min(int(message.get("window") or MAX_WINDOW), MAX_WINDOW))
        start = message.get("from")
        for group in self.groups_joined:
            await self.channel_layer.group_add(group, self.channel_name)
        await presence.renew(redis(), self.instance.pk, self.viewer)
        if self._may_write:
            await presence.claim_if_free(redis(), self.instance.pk, self.viewer)
        kept = await self._kept()
        wanted = kept.start if start is None else max(0, min(int(start), kept.end))
        self.position = self.acknowledged = wanted
        await self._say("hello", start=kept.start, end=kept.end, **await self._roles())
        await self._tell_others()
        self.tasks.append(asyncio.create_task(self._pump()))

    async def _on_ack(self, message: dict[str, Any]) -> None:
        self.acknowledged = max(self.acknowledged, min(int(message["offset"]), self.position))
        self.room.set()

    async def _on_write(self, message: dict[str, Any]) -> None:
        text = message["data"]
        if not isinstance(text, str) or len(text.encode()) > console.INPUT_BYTES:  # half a surrogate pair is no text
            raise ValueError
        if self._may_write and await presence.claim_if_free(redis(), self.instance.pk, self.viewer):
            await console.type_in(redis(), self._host, self.instance.pk, text)

    async def _on_take(self, message: dict[str, Any]) -> None:
        if self._may_write:
            await presence.take_over(redis(), self.instance.pk, self.viewer)
            await self._tell_others()

    async def _on_release(self, message: dict[str, Any]) -> None:
        await presence.leave(redis(), self.instance.pk, self.viewer)
        await presence.renew(redis(), self.instance.pk, self.viewer)
        await self._tell_others()

    HANDLERS = {"open": _on_open, "ack": _on_ack, "write": _on_write, "take": _on_take, "release": _on_release}

    async def _pump(self) -> None:
        """Send what comes, in order, never more than a window ahead of what the client has drawn."""
        while True:
            while self.position - self.acknowledged >= self.window:
                self.room.clear()
                await self.room.wait()
            try:
                await self._send_what_is_there()
            except (RedisError, OSError):  # redis is away: nothing is lost, the offset says where to go on
                await asyncio.sleep(RETRY_SECONDS)

    async def _send_what_is_there(self) -> None:
        for chunk in await console.read(redis(), self.instance.pk, self.position, block_ms=BLOCK_MS):
            if chunk.start > self.position:
                await self._fill(chunk.start)
            await self._send_chunk(chunk)

    async def _fill(self, end: int) -> None:
        """Bytes that have left the redis stream come from the watcher; what the log itself has dropped is named as a gap."""
        while self.position < end:
            answer = await console.ask(redis(), self._host, self.instance.pk, self.position, end)
            if answer is None:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            window, chunk = answer
            if chunk.start > self.position:
                await self._gap(min(chunk.start, end))
            elif not chunk.data:
                await self._gap(end)
            await self._send_chunk(chunk)

    async def _gap(self, end: int) -> None:
        await self._say("gap", **{"from": self.position, "to": end})
        self.position = end
        self.acknowledged = max(self.acknowledged, end)

    async def _send_chunk(self, chunk: Chunk) -> None:
        fresh = chunk.from_offset(self.position)
        if fresh.data:
            await self.send(bytes_data=struct.pack(">Q", fresh.start) + fresh.data)
            self.position = fresh.end

    async def _kept(self) -> Window:
        """What the log holds now; of a silent watcher, what redis has."""
        answer = await console.ask(redis(), self._host, self.instance.pk, 0, 0)
        if answer is not None:
            return answer[0]
        end = await console.last_offset(redis(), self.instance.pk) or 0
        return Window(max(0, end - console.CHUNK * console.KEPT_ENTRIES), end)

    async def _recheck(self) -> None:
        """A right that is lost ends the socket within seconds (INV-17)."""
        refusal = await until_lost(self._look)
        if refusal:
            await self._say("bye", reason=refusal.message)
        await self.close(4404 if refusal else AWAY)

    async def _look(self) -> None:
        self.actor = await self.scope["identity"].actor()
        self.instance = await self._fetch(self.actor)
        with suppress(RedisError, OSError):  # redis is away: the rights are looked at all the same
            await presence.renew(redis(), self.instance.pk, self.viewer)

    async def opsweb_changed(self, event: dict[str, Any]) -> None:
        """From core.events: pass on this instance's state."""
        if event["changed"] == f"instance:{self.instance.pk}":
            shown = await database_sync_to_async(self._badge)()
            if shown is not None:
                await self._say("state", **shown)

    async def console_note(self, event: dict[str, Any]) -> None:
        """Another viewer came, went, or took over."""
        await self._say("writer", **await self._roles())

    def _badge(self) -> dict[str, str] | None:
        instance = Instance.objects.filter(pk=self.instance.pk).first()
        if instance is None:
            return None
        shown = badge(instance, operations.active("instance", instance.pk))
        return {"state": instance.observed, "label": shown.label, "tone": shown.tone}

    async def _roles(self) -> dict[str, Any]:
        writer = await presence.writer(redis(), self.instance.pk)
        return {
            "viewers": await presence.viewers(redis(), self.instance.pk),
            "writer": writer.name if writer else None,
            "you_write": writer == self.viewer,
            "may_write": self._may_write,
        }

    async def _tell_others(self) -> None:
        await self.channel_layer.group_send(self._notes, {"type": "console.note"})

    async def _say(self, kind: str, **fields: Any) -> None:
        await self.send(text_data=json.dumps({"type": kind, **fields}))

    @database_sync_to_async
    def _fetch(self, actor: Actor) -> Instance:
        instance = access.get_or_404(actor, Instance.objects.select_related("host"), pk=self.scope["url_route"]["kwargs"]["instance_id"])
        access.require(actor, "console.read", instance.team_id)
        return instance

    @property
    def _host(self) -> str:
        name: str = self.instance.host.name
        return name

    @property
    def _may_write(self) -> bool:
        return not access.refusal(self.actor, "console.write", self.instance.team_id)

    @property
    def _notes(self) -> str:
        return f"console.{self.instance.pk}"
