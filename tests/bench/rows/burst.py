"""Row 3: thirty paused guests at once through the API, beside a shell loop that starts the same ones, eight at a time."""

import asyncio
import tempfile
import time
from pathlib import Path

from tests.bench.bare import Bare, paused_loop
from tests.bench.panel import BenchPanel, all_at_once
from tests.bench.table import Row, ratio_at_least, side_by_side
from tests.host.panel import wait_until

COUNT = 30
AT_ONCE = 8
ROUNDS = 7
# The API starts an instance running; what it costs to start one is measured without what the guest then does.
PAUSED = """
CREATE TRIGGER bench_paused AFTER UPDATE OF desired ON instances_instance WHEN NEW.desired = 'running' AND NEW.name LIKE 'burst-%'
BEGIN UPDATE instances_instance SET desired = 'paused' WHERE id = NEW.id; END
"""


def measure(bench: BenchPanel) -> list[Row]:
    """Alternately; each side's guests are gone before the other's turn."""
    ours, bare = [], []
    bench.write(PAUSED)
    with tempfile.TemporaryDirectory(prefix="owb") as place:
        reference = _reference(bench, Path(place))
        for _ in range(ROUNDS):
            ours.append(COUNT / _ours(bench))
            bare.append(COUNT / paused_loop(reference, COUNT, AT_ONCE, Path(place)))
    bench.write("DROP TRIGGER bench_paused")
    what = f"{COUNT} paused creates at once, until all run"
    return [side_by_side("burst", what, "/s", ours, bare, ratio_at_least(0.5), f"shell loop, {AT_ONCE} at a time")]


def _reference(bench: BenchPanel, place: Path) -> Bare:
    identifier = bench.create("burst-model", "sleep", "1000")["instance"]["id"]
    wait_until(lambda: _paused(bench) == 1, "the first one is paused")
    reference = Bare(bench.record(identifier), bench.kernel, place)
    bench.delete(identifier)
    return reference


def _ours(bench: BenchPanel) -> float:
    bodies = [{"name": f"burst-{number}", "image": "bench", "memory_mib": 128, "args": ["sleep", "1000"]} for number in range(COUNT)]
    began = time.monotonic()
    identifiers = asyncio.run(all_at_once(bench, bodies))
    while _paused(bench) < COUNT:
        assert time.monotonic() - began < 120, f"{_paused(bench)} of {COUNT} run"
        time.sleep(0.02)
    took = time.monotonic() - began
    for identifier in identifiers:
        bench.api.delete(f"instances/{identifier}/").raise_for_status()
    wait_until(lambda: not bench.read("SELECT 1 FROM instances_instance WHERE name LIKE 'burst-%'"), "all are gone", 120)
    return took


def _paused(bench: BenchPanel) -> int:
    return int(bench.read("SELECT count(*) FROM instances_instance WHERE observed = 'paused'")[0][0])
