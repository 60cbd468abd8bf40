"""Row 5: a key typed → its bytes back, through the panel, beside the raw serial socket of the same guest started bare."""

import asyncio
import string
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.bench.bare import Bare
from tests.bench.panel import BenchPanel
from tests.bench.table import Row, above_reference_by_at_most, percentile, ratio_at_most
from tests.bench.viewers import Raw, Viewer, console, raw

KEYS = 150
VIEWERS = 50
PAUSE = 0.02  # a fast typist's; also lets what the key set off come to rest
ALPHABET = string.ascii_lowercase


def measure(bench: BenchPanel) -> list[Row]:
    """Keys go to both guests in turn; then the same with fifty viewers of ours."""
    identifier = bench.create("bench-echo", "cat")["instance"]["id"]
    bench.started(identifier, "running")
    with tempfile.TemporaryDirectory(prefix="owb") as place:
        bare = Bare(bench.record(identifier), bench.kernel, Path(place))
        with bare.running():
            ours, other, crowd = asyncio.run(_measure(bench, identifier, bare.serial()))
    bench.delete(identifier)
    return _rows(ours, other, crowd)


def _rows(ours: list[float], other: list[float], crowd: list[float]) -> list[Row]:
    mine, bare, many = percentile(ours, 0.95), percentile(other, 0.95), percentile(crowd, 0.95)
    middle = f"p50 {percentile(ours, 0.5):.1f} against {percentile(other, 0.5):.1f} ms, {KEYS} keys each"
    limit = above_reference_by_at_most(10, "ms")
    note = f"reference: one viewer; p50 {percentile(crowd, 0.5):.1f} ms, {KEYS} keys at each of {VIEWERS} viewers"
    return [
        Row("echo", "console echo, key → bytes back, p95", "ms", mine, bare, mine / bare, limit, middle),
        Row("echo-50", f"the same at {VIEWERS} viewers, p95", "ms", many, mine, many / mine, ratio_at_most(2), note),
    ]


async def _measure(bench: BenchPanel, identifier: str, serial: Path) -> tuple[list[float], list[float], list[float]]:
    async with raw(serial) as other:
        async with console(bench, identifier) as viewers:
            for each in (*viewers, other):
                await until_it_echoes(each)
            ours, bare = [], []
            for number in range(KEYS):
                ours += await _key(viewers, number)
                bare += await _key([other], number)
        async with console(bench, identifier, viewers=VIEWERS) as viewers:
            await until_it_echoes(viewers[0])
            crowd = [took for number in range(KEYS) for took in await _key(viewers, number)]
    return ours, bare, crowd


async def until_it_echoes(end: Viewer | Raw) -> None:
    """What is typed while a guest boots is lost."""
    for _ in range(120):
        await end.type("r")
        with suppress(TimeoutError):
            return await end.until(lambda seen: seen.endswith(b"r"), 0.5)
    raise AssertionError(f"no echo; it said {bytes(end.seen)!r}")


async def _key(ends: list[Viewer] | list[Raw], number: int) -> list[float]:
    """Milliseconds until each end has the key that the first one types; each time another key, for lines that are shorter than a tty's."""
    for end in ends:
        end.forget()
    key = ALPHABET[number % len(ALPHABET)] if number % 100 else "\n"
    began = time.perf_counter()
    await ends[0].type(key)
    took = await asyncio.gather(*(_arrival(end, key.encode(), began) for end in ends))
    await asyncio.sleep(PAUSE)
    return took


async def _arrival(end: Viewer | Raw, key: bytes, began: float) -> float:
    await end.until(lambda seen: key in seen, 10)
    return (time.perf_counter() - began) * 1000
