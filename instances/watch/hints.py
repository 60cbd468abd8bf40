"""Hints to the worker: look at this. At once, then at most every so often: neither a guest nor a stranger can flood the queue."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from opsweb.core.queue import enqueue

LEAST_SECONDS = 0.2  # between two hints about one thing


class Hints:
    """The hints of one host's watcher. Use it inside the event loop."""

    def __init__(self, host: str) -> None:
        self._queue = f"host.{host}"
        self._sent: dict[tuple[str, ...], float] = {}
        self._pending: set[tuple[str, ...]] = set()
        self._background: set[asyncio.Task[None]] = set()

    def hint(self, *task: str, least: float = LEAST_SECONDS, after: float = 0.0) -> None:
        """Send `task` (its name, then ids) once, in `after` seconds, and not within `least` seconds of the last."""
        if task in self._pending:
            return
        self._pending.add(task)
        self.spawn(self._send(task, max(after, self._sent.get(task, 0.0) + least - time.monotonic())))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Let `work` go on beside everything else."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _send(self, task: tuple[str, ...], wait: float) -> None:
        await asyncio.sleep(wait)
        self._pending.discard(task)
        self._sent[task] = time.monotonic()
        await asyncio.to_thread(enqueue, task[0], self._queue, *task[1:])
