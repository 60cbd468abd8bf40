"""Row 6: from a change asked for by REST to the last of many open browsers that hears of it."""

import asyncio
import json
import time

import httpx
from websockets.asyncio.client import ClientConnection

from tests.bench.panel import BenchPanel
from tests.bench.table import Row, ours_at_most, percentile
from tests.bench.viewers import events_sockets

BROWSERS = 20
CHANGES = 40
PAUSE = 0.1


def measure(bench: BenchPanel) -> list[Row]:
    """Every browser's every arrival counts."""
    identifier = bench.create("bench-events", "true", start=False)["instance"]["id"]
    took = asyncio.run(_measure(bench, identifier))
    bench.delete(identifier)
    note = f"{CHANGES} changes at {BROWSERS} browsers, from the sent request on; p50 {percentile(took, 0.5):.1f} ms"
    return [Row("events", "change → every open browser, p95", "ms", percentile(took, 0.95), None, None, ours_at_most(100, "ms"), note)]


async def _measure(bench: BenchPanel, identifier: str) -> list[float]:
    took: list[float] = []
    client = httpx.AsyncClient(base_url=bench.address, headers=bench.authorization, timeout=30)
    async with events_sockets(bench, BROWSERS) as browsers, client:
        for number in range(CHANGES):
            began = time.perf_counter()
            hearing = [asyncio.create_task(_heard(browser, f"instance:{identifier}", began)) for browser in browsers]
            answer = await client.patch(f"instances/{identifier}/", json={"args": [str(number)]})
            answer.raise_for_status()
            took += await asyncio.gather(*hearing)
            await asyncio.sleep(PAUSE)
            for browser in browsers:
                await _drain(browser)
    return took


async def _heard(browser: ClientConnection, what: str, began: float) -> float:
    async with asyncio.timeout(10):
        while json.loads(await browser.recv())["changed"] != what:
            pass
    return (time.perf_counter() - began) * 1000


async def _drain(browser: ClientConnection) -> None:
    """One change may be told twice (by the web, by the worker); the second is not the next one's."""
    while True:
        try:
            async with asyncio.timeout(0.001):
                await browser.recv()
        except TimeoutError:
            return
