"""Long polls: hold a request until something is so, woken by the same events as the browsers. Called by the routes."""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar

from asgiref.sync import async_to_sync, sync_to_async
from channels.layers import get_channel_layer
from redis import RedisError

from opsweb.core.access import Actor
from opsweb.core.errors import TooMany
from opsweb.core.events import team_group

T = TypeVar("T")

log = logging.getLogger(__name__)

LONGEST = 60  # seconds one request may be held
LOOK_SECONDS = 2.0  # a lost event costs no more than this
HELD_EACH = 64  # of one person: each costs a thread and connections to database and redis

_held: Counter[int | None] = Counter()
_counting = threading.Lock()


def hold(
    look: Callable[[], T], is_enough: Callable[[T], bool], *, actor: Actor, team_id: int, concerns: tuple[str, ...], seconds: float
) -> T:
    """Call `look` until what it finds `is_enough` or the time is over; returns the last find.

    It looks at once, after each event of the team whose name starts with one of `concerns`, and every LOOK_SECONDS.
    Raises: TooMany to somebody who has HELD_EACH requests held already.
    """
    found = look()
    if seconds <= 0 or is_enough(found):
        return found
    with _place(actor.user_id):
        return async_to_sync(watch)(look, is_enough, team_id=team_id, concerns=concerns, seconds=min(seconds, LONGEST))


@contextmanager
def _place(user_id: int | None) -> Iterator[None]:
    """One of a person's places among the held requests of this process."""
    with _counting:
        if _held[user_id] >= HELD_EACH:
            raise TooMany(f"{HELD_EACH} of your requests are held already. Wait for one of them, or ask without waiting.")
        _held[user_id] += 1
    try:
        yield
    finally:
        with _counting:
            _held[user_id] -= 1


async def watch(look: Callable[[], T], is_enough: Callable[[T], bool], *, team_id: int, concerns: tuple[str, ...], seconds: float) -> T:
    """The same in an event loop; `look` and `is_enough` run in the thread that called `hold`. It listens first: no event falls between."""

    def try_once() -> tuple[T, bool]:
        found = look()
        return found, is_enough(found)

    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    async with _events(team_id, concerns) as heard:
        while True:
            heard.clear()
            found, enough = await sync_to_async(try_once)()
            left = deadline - clock()
            if enough or left <= 0:
                return found
            with suppress(TimeoutError):
                await asyncio.wait_for(heard.wait(), min(left, LOOK_SECONDS))


@asynccontextmanager
async def _events(team_id: int, concerns: tuple[str, ...]) -> AsyncIterator[asyncio.Event]:
    """Set whenever one of the team's events concerns us. Without redis it never is, and the looks go on."""
    layer, group, heard = get_channel_layer(), team_group(team_id), asyncio.Event()
    try:
        channel = await layer.new_channel()
        await layer.group_add(group, channel)
    except (RedisError, OSError) as error:
        log.warning("long poll without events: %s", error)
        yield heard
        return
    listener = asyncio.create_task(_listen(layer, channel, concerns, heard))
    try:
        yield heard
    finally:
        listener.cancel()  # the layer forgets the channel then
        with suppress(asyncio.CancelledError, RedisError, OSError):
            await listener
        with suppress(RedisError, OSError):
            await layer.group_discard(group, channel)


async def _listen(layer: Any, channel: str, concerns: tuple[str, ...], heard: asyncio.Event) -> None:
    while True:
        message = await layer.receive(channel)
        if message["changed"].startswith(concerns):
            heard.set()
