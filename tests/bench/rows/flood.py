"""Row 4: a guest that floods its console, through the panel and through socat; and what a viewer costs that stops reading."""

import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from tests.bench.bare import Bare
from tests.bench.panel import BenchPanel, resident_mib
from tests.bench.rows.echo import until_it_echoes
from tests.bench.table import Row, ours_at_most, ratio_at_least, side_by_side
from tests.bench.viewers import Raw, Viewer, console, piped, running, stalled

LINES = 120_000  # of 9 bytes
ROUNDS = 3
STALLED = 4
# A line typed sets the flood off; each line of it has its number, so that nothing can be lost, doubled or moved unseen.
SCRIPT = f"while read go; do seq -w 1 {LINES} | cat; done"
EXPECTED = b"".join(b"%0*d\r\n" % (len(str(LINES)), number) for number in range(1, LINES + 1))


def measure(bench: BenchPanel) -> list[Row]:
    """The two guests flood in turn."""
    identifier = bench.create("bench-flood", "sh", "-c", SCRIPT)["instance"]["id"]
    bench.started(identifier, "running")
    with tempfile.TemporaryDirectory(prefix="owb") as place:
        bare = Bare(bench.record(identifier), bench.kernel, Path(place))
        with bare.running():
            ours, other, missing, grown = asyncio.run(_measure(bench, identifier, bare.serial()))
    bench.delete(identifier)
    size = f"{len(EXPECTED) / 1e6:.2f} MB a round, every line checked"
    return [
        side_by_side("flood", "console throughput, guest → websocket", "kB/s", ours, other, ratio_at_least(0.8), f"against socat; {size}"),
        Row("flood-lost", "bytes lost or doubled on the way", "bytes", missing, None, None, ours_at_most(0, "bytes"), f"{ROUNDS} floods"),
        Row(
            "stalled",
            "web's memory for a viewer that stops reading",
            "MiB",
            grown,
            None,
            None,
            ours_at_most(10, "MiB"),
            f"{STALLED} of them",
        ),
    ]


async def _measure(bench: BenchPanel, identifier: str, serial: Path) -> tuple[list[float], list[float], int, float]:
    ours, other, missing = [], [], 0
    async with AsyncExitStack() as stack:
        mine = (await stack.enter_async_context(console(bench, identifier)))[0]
        bare = await stack.enter_async_context(piped(["socat", f"UNIX-CONNECT:{serial}", "STDIO"]))
        for end in (mine, bare):
            await until_it_echoes(end)
        for _ in range(ROUNDS):
            ours.append(await _flood(mine))
            missing += abs(len(EXPECTED) - _matching(mine.seen)) + mine.missing
            other.append(await _flood(bare))
        grown = await _stalled_viewers(bench, identifier, mine)
    return ours, other, missing, grown


async def _flood(end: Viewer | Raw) -> float:
    """Set one off and read all of it; kB a second from the first byte to the last."""
    end.forget()
    await end.type("\n")
    await end.until(lambda seen: b"1\r\n" in seen)
    began = time.perf_counter()
    await end.until(lambda seen: len(seen) >= len(EXPECTED) and seen.endswith(EXPECTED[-9:]), 120)
    return len(EXPECTED) / (time.perf_counter() - began) / 1000


def _matching(seen: bytearray) -> int:
    """How many bytes are what they must be, from the first number on."""
    start = seen.find(EXPECTED[:9])
    return (
        len(EXPECTED)
        if start >= 0 and seen[start:] == EXPECTED
        else next(
            (at for at, (a, b) in enumerate(zip(seen[start:], EXPECTED, strict=False)) if a != b), min(len(seen) - start, len(EXPECTED))
        )
    )


async def _stalled_viewers(bench: BenchPanel, identifier: str, reader: Viewer) -> float:
    """The largest growth of the web process during a flood, for each viewer that has opened the console and reads no more."""
    web = bench.pid("web")
    before = resident_mib(web)
    async with AsyncExitStack() as stack:
        for _ in range(STALLED):
            await stack.enter_async_context(stalled(bench, identifier))
        peak: list[float] = []
        await stack.enter_async_context(running(lambda: _watch(lambda: resident_mib(web), peak)))
        await _flood(reader)
    return max(0.0, max(peak) - before) / STALLED


async def _watch(value: Callable[[], float], seen: list[float]) -> None:
    while True:
        seen.append(value())
        await asyncio.sleep(0.1)
