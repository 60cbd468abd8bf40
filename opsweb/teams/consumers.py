"""The events socket: tells a browser which things changed. It re-fetches them over HTTP, with the normal permission check."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import django.db
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from redis.exceptions import RedisError

from opsweb.core.access import Actor
from opsweb.core.errors import Refusal
from opsweb.core.events import EVERYTHING, team_group

RECHECK_SECONDS = 5  # how long a lost right may outlive its loss on an open socket
UNCHECKED_SECONDS = 30  # and how long one counts that nobody can look at: a lock that SQLite waits for (20 s), or PostgreSQL's restart
AWAY = 4503  # the socket's end then: not a refusal, so that clients come back by themselves and go on where they were


async def until_lost(look: Callable[[], Awaitable[None]]) -> Refusal | None:
    """Look at a socket's rights again and again until `look` refuses; None when the database was away too long to say (INV-17)."""
    loop = asyncio.get_running_loop()
    looked = loop.time()
    while True:
        await asyncio.sleep(RECHECK_SECONDS)
        try:
            async with asyncio.timeout_at(looked + UNCHECKED_SECONDS):
                await look()
            looked = loop.time()
        except Refusal as refusal:
            return refusal
        except (django.db.Error, TimeoutError):
            if loop.time() >= looked + UNCHECKED_SECONDS:
                return None


class EventsConsumer(AsyncJsonWebsocketConsumer):
    """Listens to the groups of the actor's teams; regroups when roles change."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Called by the server; however the socket ends, nothing that it started stays."""
        self.joined: set[str] = set()
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._forget()

    async def connect(self) -> None:
        """The gate has let it in."""
        await self._join(self.scope["actor"])
        await self.accept()
        self.checking = asyncio.create_task(self._recheck())

    async def _forget(self) -> None:
        if hasattr(self, "checking"):
            self.checking.cancel()
        for group in self.joined:
            with suppress(RedisError, OSError):
                await self.channel_layer.group_discard(group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any) -> None:
        """A browser has nothing to say here."""

    async def opsweb_changed(self, event: dict[str, Any]) -> None:
        """From core.events."""
        await self.send_json({"changed": event["changed"]})

    async def _join(self, actor: Actor) -> None:
        wanted = {EVERYTHING} if actor.superuser else {team_group(team) for team in actor.roles}
        for group in wanted - self.joined:
            await self.channel_layer.group_add(group, self.channel_name)
        for group in self.joined - wanted:
            await self.channel_layer.group_discard(group, self.channel_name)
        self.joined = wanted

    async def _recheck(self) -> None:
        await self.close(4401 if await until_lost(self._look) else AWAY)

    async def _look(self) -> None:
        actor = await self.scope["identity"].actor()
        with suppress(RedisError, OSError):  # redis is away, and with it all events: the groups are mended when it is back
            await self._join(actor)
