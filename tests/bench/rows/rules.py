"""Row: a network with 200 NICs that share ten rules; from the service's call for other rules until the kernel has them."""

import tempfile
from pathlib import Path
from statistics import median

from tests.bench.panel import BenchPanel, fake_settings, run_script
from tests.bench.table import Row, ours_at_most

NICS = 200
CHANGES = 15
MOST = 200.0  # ms


def measure(bench: BenchPanel) -> list[Row]:
    """In a panel of its own that has no redis: the worker's task is called where the message to it would be sent."""
    with tempfile.TemporaryDirectory(prefix="owb") as place:
        seen = run_script("change_rules", str(NICS), str(CHANGES), **{**fake_settings(Path(place)), "OPSWEB_DRIVER": "real"})
    service, task, whole = (median(change[part] for change in seen) for part in ("service", "task", "whole"))
    note = f"{CHANGES} changes; {service:.0f} ms of it the service's, {task:.0f} ms the worker's"
    what = f"rules of {NICS} NICs changed → in the kernel"
    return [Row("rules", what, "ms", whole, None, None, ours_at_most(MOST, "ms"), note)]
