"""Long polls: woken by events, at once when it is so already, no later than their time, without redis too."""

import asyncio
import threading
from collections.abc import Callable

import pytest
from channels.layers import get_channel_layer
from redis.exceptions import ConnectionError as RedisConnectionError

from opsweb.core import events
from opsweb.core.access import SYSTEM, Actor
from opsweb.core.errors import TooMany
from opsweb.teams.api import waiting


class Looks:
    """Something to look at; a test awaits the looks."""

    def __init__(self) -> None:
        self.value, self.count = "no", 0
        self._loop, self._looks = asyncio.get_running_loop(), asyncio.Queue[int]()

    def __call__(self) -> str:
        self.count += 1
        self._loop.call_soon_threadsafe(self._looks.put_nowait, self.count)
        return self.value

    async def next(self) -> int:
        """The number of the next look, once it was taken."""
        return await asyncio.wait_for(self._looks.get(), 5)


def start(look: Callable[[], str], seconds: float = 20, concerns: tuple[str, ...] = ("instance:1",)) -> "asyncio.Task[str]":
    return asyncio.create_task(waiting.watch(look, lambda value: value == "yes", team_id=7, concerns=concerns, seconds=seconds))


@pytest.fixture
def slow_net(monkeypatch: pytest.MonkeyPatch) -> None:
    """The safety net is out of the way: only events wake."""
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 20)


async def test_an_event_wakes_it(slow_net: None) -> None:
    look = Looks()
    task = start(look)
    assert await look.next() == 1
    look.value = "yes"
    await events.send("instance:1", 7)
    assert await asyncio.wait_for(task, 5) == "yes"


async def test_events_of_others_do_not(slow_net: None) -> None:
    look = Looks()
    task = start(look)
    assert await look.next() == 1
    await events.send("instance:2", 7)
    await events.send("instance:1", 8)
    await events.send("instance:1", 7)
    assert await look.next() == 2
    task.cancel()


async def test_an_event_between_the_look_and_the_wait_is_not_lost(slow_net: None) -> None:
    """It listens before it looks."""
    look = Looks()
    loop = asyncio.get_running_loop()

    def look_then_event() -> str:
        value = look()
        if look.count == 1:  # in the thread of the look: the waiter does not wait yet
            look.value = "yes"
            asyncio.run_coroutine_threadsafe(events.send("instance:1", 7), loop).result(5)
        return value

    assert await asyncio.wait_for(start(look_then_event), 5) == "yes"


async def test_a_lost_event_costs_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.05)
    look = Looks()
    task = start(look)
    assert await look.next() == 1
    look.value = "yes"
    assert await asyncio.wait_for(task, 5) == "yes"


async def test_the_time_ends_it(slow_net: None) -> None:
    look = Looks()
    assert await asyncio.wait_for(start(look, seconds=0.1), 5) == "no"
    assert look.count == 2


async def test_it_is_not_held_when_it_is_so_already() -> None:
    look = Looks()
    look.value = "yes"
    assert await asyncio.wait_for(start(look), 5) == "yes"
    assert look.count == 1


async def test_nothing_is_left_behind(slow_net: None) -> None:
    layer = get_channel_layer()
    for seconds in (0.01, 0.02):
        await start(Looks(), seconds=seconds)
    look = Looks()
    cancelled = start(look)
    await look.next()
    assert layer.groups
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert not layer.groups
    assert not layer.channels
    assert len(asyncio.all_tasks()) == 1


async def test_without_redis_it_still_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-20."""

    async def down(*_: object) -> None:
        raise RedisConnectionError("Connection refused")

    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(type(get_channel_layer()), "group_add", down)
    look = Looks()
    task = start(look)
    assert await look.next() == 1
    look.value = "yes"
    assert await asyncio.wait_for(task, 5) == "yes"


def test_from_a_thread_the_look_stays_in_that_thread() -> None:
    """The look uses the request's own database connection."""
    seen = []

    def look() -> str:
        seen.append(threading.current_thread())
        return "yes" if len(seen) > 1 else "no"

    assert waiting.hold(look, lambda value: value == "yes", actor=SYSTEM, team_id=7, concerns=("x",), seconds=20) == "yes"
    assert set(seen) == {threading.current_thread()}


def test_one_person_holds_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-16: 500 long polls of one token would be 500 threads; the others still get their answers."""
    monkeypatch.setattr(waiting, "HELD_EACH", 2)
    olga, ana = Actor(1, "olga"), Actor(2, "ana")

    def hold(actor: Actor, look: Callable[[], str]) -> str:
        looks = iter(("no",))
        return waiting.hold(
            lambda: next(looks, "") or look(), lambda value: value == "yes", actor=actor, team_id=7, concerns=(), seconds=20
        )

    def third() -> str:
        with pytest.raises(TooMany):
            hold(olga, lambda: "yes")
        return hold(ana, lambda: "yes")

    assert hold(olga, lambda: hold(olga, third)) == "yes"
    assert hold(olga, lambda: "yes") == "yes"
