"""The threads that requests are answered on."""

import asyncio
import threading

import pytest
from asgiref.sync import sync_to_async

from opsweb.core.threads import KEPT, KeptThreads


def ask(app: KeptThreads) -> object:
    return app({"type": "http"}, None, None)  # type: ignore[arg-type]


def test_a_thread_serves_one_request_after_the_other():
    seen: list[int] = []

    async def view(scope, receive, send):
        await sync_to_async(lambda: seen.append(threading.get_ident()))()
        await sync_to_async(lambda: seen.append(threading.get_ident()))()

    async def requests() -> None:
        app = KeptThreads(view)
        for _ in range(3):
            await ask(app)

    asyncio.run(requests())
    assert len(seen) == 6
    assert len(set(seen)) == 1


def test_requests_at_once_have_a_thread_each():
    at_once = KEPT + 4
    together = threading.Barrier(at_once, timeout=20)

    async def view(scope, receive, send):
        await sync_to_async(together.wait)()

    async def requests() -> None:
        app = KeptThreads(view)
        for _ in range(2):
            await asyncio.gather(*(ask(app) for _ in range(at_once)))
        assert len(app._idle) == KEPT

    asyncio.run(requests())


def test_a_view_that_raises_gives_its_thread_back():
    async def view(scope, receive, send):
        await sync_to_async(lambda: 1 / 0)()

    async def requests() -> None:
        app = KeptThreads(view)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await ask(app)
        assert len(app._idle) == 1

    asyncio.run(requests())
