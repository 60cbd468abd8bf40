"""Who looks at a console and who writes to it: kept in redis, so that every web process agrees. Called by the console socket."""

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

STALE_SECONDS = 15  # a viewer that was not renewed for so long is gone (its process died)


@dataclass(frozen=True)
class Viewer:
    """One open console: an id of its own and the person's name."""

    id: str
    name: str

    @property
    def value(self) -> str:
        """As it stands in redis."""
        return f"{self.id} {self.name}"


def _viewers(instance: UUID) -> str:
    return f"opsweb:viewers:{instance}"


def _writer(instance: UUID) -> str:
    return f"opsweb:writer:{instance}"


async def renew(redis: Redis, instance: UUID, viewer: Viewer) -> None:
    """Count `viewer` for another while; keeps the right to write alive if it holds it."""
    await redis.zadd(_viewers(instance), {viewer.id: time.time()})
    await redis.expire(_viewers(instance), STALE_SECONDS)
    if await is_writer(redis, instance, viewer):
        await redis.expire(_writer(instance), STALE_SECONDS)


async def leave(redis: Redis, instance: UUID, viewer: Viewer) -> None:
    """Stop counting it, and let go of the right to write."""
    await redis.zrem(_viewers(instance), viewer.id)
    if await is_writer(redis, instance, viewer):
        await redis.delete(_writer(instance))


async def viewers(redis: Redis, instance: UUID) -> int:
    """How many consoles are open."""
    return int(await redis.zcount(_viewers(instance), time.time() - STALE_SECONDS, "+inf"))


async def writer(redis: Redis, instance: UUID) -> Viewer | None:
    """Who may write now."""
    value: Any = await redis.get(_writer(instance))
    if not value:
        return None
    identifier, _, name = value.decode().partition(" ")
    return Viewer(identifier, name)


async def is_writer(redis: Redis, instance: UUID, viewer: Viewer) -> bool:
    """Whether it is this one."""
    return await writer(redis, instance) == viewer


async def claim_if_free(redis: Redis, instance: UUID, viewer: Viewer) -> bool:
    """Become the writer unless another one is."""
    return bool(await redis.set(_writer(instance), viewer.value, nx=True, ex=STALE_SECONDS)) or await is_writer(redis, instance, viewer)


async def take_over(redis: Redis, instance: UUID, viewer: Viewer) -> None:
    """Become the writer, whoever was it."""
    await redis.set(_writer(instance), viewer.value, ex=STALE_SECONDS)
