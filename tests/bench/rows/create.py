"""Rows 1 and 2: from a REST call to a page served by the guest, beside bare QEMU; and how much of that is our own part."""

import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.bare import Bare
from tests.bench.panel import TICKS, BenchPanel, first_answer
from tests.bench.table import Row, ours_at_most, percentile, ratio_at_most, side_by_side

PORT = 18_701
ROUNDS = 9
STARTS = 40  # of which the slow ones are looked for: a 95th percentile needs more than nine
SERVER = ("httpd", "-f", "-p", "8080", "-h", "/")


def measure(bench: BenchPanel) -> list[Row]:
    """Alternately, after one round of each that does not count."""
    ours, bare = [], []
    with tempfile.TemporaryDirectory(prefix="owb") as place:
        reference: Bare | None = None
        for number in range(ROUNDS + 1):
            took, seen = _ours(bench, Path(place) if reference is None else None)
            reference = seen or reference
            assert reference is not None
            other = _bare(reference)
            if number:
                ours.append(took)
                bare.append(other)
    before_exec = [_before_exec(bench) for _ in range(STARTS)]
    return [
        side_by_side("create", "REST create → guest answers HTTP", "s", ours, bare, ratio_at_most(1.05), "a GET every 20 ms"),
        Row(
            "own-part",
            "own part of it: accepted → QEMU exec, p95",
            "ms",
            percentile(before_exec, 0.95),
            None,
            None,
            ours_at_most(100, "ms"),
            f"{STARTS} starts; p50 {median(before_exec):.1f} ms",
        ),
    ]


def _ours(bench: BenchPanel, place: Path | None) -> tuple[float, Bare | None]:
    began = time.monotonic()
    identifier = _created(bench)["instance"]["id"]
    took = first_answer(PORT) - began
    bare = Bare(bench.record(identifier), bench.kernel, place) if place else None
    bench.delete(identifier)
    return took, bare


def _created(bench: BenchPanel) -> dict[str, Any]:
    return bench.create("bench-create", *SERVER, ports=[f"{PORT}:8080"])


def _before_exec(bench: BenchPanel) -> float:
    """Of one start: milliseconds from the operation to QEMU."""
    made = _created(bench)
    bench.finish(made["operation"])
    identifier = made["instance"]["id"]
    took = _accepted_to_exec(made["operation"], bench.record(identifier))
    bench.delete(identifier)
    return took


def _accepted_to_exec(operation: dict[str, Any], record: dict[str, Any]) -> float:
    """Milliseconds; the kernel knows a process's start to one tick, so to the end of that tick."""
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    executed = booted + (record["process"]["start"] + 1) / TICKS
    return (executed - datetime.fromisoformat(operation["created_at"]).timestamp()) * 1000


def _bare(reference: Bare) -> float:
    began = time.monotonic()
    with reference.running():
        return first_answer(PORT) - began
