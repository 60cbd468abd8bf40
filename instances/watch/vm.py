"""Watches one VM: its console log to redis, its monitor's events to the worker, what is typed to its console. Used by watch.watcher."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from qemu.qmp import EventListener, QMPClient, QMPError
from redis.exceptions import RedisError

from instances import console
from instances.console import Chunk, Window
from instances.hypervisor.base import Hypervisor, RunPaths
from instances.redis_client import redis
from instances.watch.inotify import IN_MODIFY, Inotify
from instances.watch.log import ConsoleLog, bound_log

log = logging.getLogger(__name__)

READ_BYTES = 64 * 1024
EVENTS = {"SHUTDOWN", "POWERDOWN", "STOP", "RESUME", "RESET", "GUEST_PANICKED", "GUEST_CRASHLOADED", "DEVICE_DELETED"}
CONNECT_SECONDS = 5.0
# Without a reader a pipe can't be opened so, a full one refuses: the watcher never waits for a guest (fifo(7)).
TYPING = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
FAKE_TICK_SECONDS = 0.25  # the fake host's clock moves on when somebody looks

Hint = Callable[[UUID], None]
FirstByte = Callable[[UUID], Awaitable[None]]


class VmWatch:
    """One VM, from its first log to its last. `hint` tells the worker to look; `first_byte` is told once for each boot."""

    def __init__(self, vm: UUID, driver: Hypervisor, inotify: Inotify, *, keep: int, hint: Hint, first_byte: FirstByte) -> None:
        self.vm, self.paths = vm, driver.paths(vm)
        self._driver, self._inotify, self._hint, self._first_byte = driver, inotify, hint, first_byte
        self._log = ConsoleLog(self.paths.console_log, keep)
        self._grown = asyncio.Event()
        self._grown.set()
        self._link = Link(vm, self.paths, hint) if driver.has_sockets else FakeLink(vm, driver, hint)
        self._watches = [inotify.watch(self.paths.console_log, IN_MODIFY, self._grown.set)]
        if self.paths.status_log.exists():
            self._watches.append(inotify.watch(self.paths.status_log, IN_MODIFY, self._status_grown))
        if self.paths.stderr_log.exists():
            self._watches.append(inotify.watch(self.paths.stderr_log, IN_MODIFY, self._stderr_grown))
        self._task = asyncio.create_task(self._feed())

    @property
    def is_gone(self) -> bool:
        """Whether the VM was erased, or its watching failed."""
        return self._log.is_gone or self._task.done()

    async def close(self) -> None:
        """Stop watching; forget the stream when the VM was erased."""
        self._task.cancel()
        await self._link.close()
        for number in self._watches:
            self._inotify.forget(number)
        if self._log.is_gone:
            await redis().delete(console.stream_key(self.vm))
        self._log.close()

    def look(self) -> None:
        """The VM may have been started: connect to its sockets if they are there."""
        self._link.look()

    def read(self, start: int, end: int) -> tuple[Window, Chunk]:
        """Bytes of the log for a viewer that is further back than redis."""
        limit = min(max(end - start, 0), console.RANGE_BYTES)
        return self._log.window, self._log.read(start, limit) if limit else Chunk(start, b"")

    def type_in(self, data: bytes) -> None:
        """Input for the guest."""
        type_into(self.paths.typed, data)

    def _stderr_grown(self) -> None:
        bound_log(self.paths.stderr_log)

    def _status_grown(self) -> None:
        bound_log(self.paths.status_log)
        self._hint(self.vm)

    async def _feed(self) -> None:
        """Feed the stream where it ended; redis away: wait and go on, the log keeps everything."""
        position: int | None = None
        while True:
            await self._grown.wait()
            self._grown.clear()
            try:
                if position is None:
                    position = await self._where_it_ended()
                position = await self._feed_from(position)
            except (RedisError, OSError) as error:
                log.warning("console of %s waits for redis: %s", self.vm, error)
                position = None
                await asyncio.sleep(1)
                self._grown.set()

    async def _where_it_ended(self) -> int:
        fed = await console.last_offset(redis(), self.vm)
        window = self._log.window
        oldest_useful = window.end - console.CHUNK * console.KEPT_ENTRIES
        return max(window.start, fed if fed is not None and fed <= window.end else oldest_useful, 0)

    async def _feed_from(self, position: int) -> int:
        while chunk := self._next(position):
            await console.append(redis(), self.vm, chunk)
            position = chunk.end
            self._log.trim()
            await self._first_byte(self.vm)
        return position

    def _next(self, position: int) -> Chunk | None:
        chunk = self._log.read(position, READ_BYTES)
        return chunk if chunk.data else None


def type_into(pipe: Path, data: bytes) -> None:
    """Input for the guest behind `pipe`; dropped when no VM runs, or when it has not taken a pipe full of earlier input."""
    with suppress(OSError):
        descriptor = os.open(pipe, TYPING)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)


class Link:
    """The monitor of a running QEMU: each of its events is a hint."""

    def __init__(self, vm: UUID, paths: RunPaths, hint: Hint) -> None:
        self._vm, self._paths, self._hint = vm, paths, hint
        self._task: asyncio.Task[None] | None = None
        self.look()

    def look(self) -> None:
        """Connect unless connected."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """End the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        if not self._paths.watch.exists():
            return
        client = QMPClient(f"watch-{self._vm}")
        try:
            with client.listener(EVENTS) as events:
                await asyncio.wait_for(client.connect(str(self._paths.watch)), CONNECT_SECONDS)
                ended = asyncio.create_task(_until_ended(client))
                try:
                    await self._pass_on(events, ended)
                finally:
                    ended.cancel()
        except (QMPError, OSError, TimeoutError):
            return  # not there yet, or gone: the next look connects again
        finally:
            with suppress(QMPError, OSError, EOFError, asyncio.CancelledError):
                await client.disconnect()
        self._hint(self._vm)

    async def _pass_on(self, events: EventListener, ended: "asyncio.Task[None]") -> None:
        """Each event is a hint; a listener falls silent when QEMU ends, so that is waited for as well."""
        while not ended.done():
            event = asyncio.create_task(events.get())
            await asyncio.wait({event, ended}, return_when=asyncio.FIRST_COMPLETED)
            event.cancel()
            self._hint(self._vm)


async def _until_ended(client: QMPClient) -> None:
    while client.runstate.name == "RUNNING":
        await client.runstate_changed()


class FakeLink:
    """The same for the fake host, which moves on when it is looked at."""

    def __init__(self, vm: UUID, driver: Hypervisor, hint: Hint) -> None:
        self._vm, self._driver, self._hint = vm, driver, hint
        self._task = asyncio.create_task(self._tick())

    def look(self) -> None:
        """It ticks anyway."""

    async def close(self) -> None:
        """Stop ticking."""
        self._task.cancel()

    async def _tick(self) -> None:
        before = None
        while True:
            seen = self._driver.observe(self._vm)
            if before is not None and seen != before:
                self._hint(self._vm)
            before = seen
            await asyncio.sleep(FAKE_TICK_SECONDS)
