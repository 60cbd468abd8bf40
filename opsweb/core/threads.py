"""Keeps the threads that views run on. Put around HTTP in opsweb.asgi."""

from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import ThreadSensitiveContext

from opsweb.core.bodies import App, Receive, Send

KEPT = 16  # idle threads, each with its connection to the database


class KeptThreads:
    """A thread for each request that is being answered, as Django has it, but one that has served others before.

    Django's own is made for the request and gone after it, and with it a connection to the database that was opened for one request.
    """

    def __init__(self, inner: App) -> None:
        self.inner = inner
        self._idle: list[ThreadPoolExecutor] = []

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Called by the server for each request."""
        thread = self._idle.pop() if self._idle else ThreadPoolExecutor(1, "view")
        try:
            async with ThreadSensitiveContext(executor=thread):
                await self.inner(scope, receive, send)
        finally:
            if len(self._idle) < KEPT:
                self._idle.append(thread)
            else:
                thread.shutdown(wait=False)
