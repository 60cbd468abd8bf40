"""Row 7: the list of instances with 10,000 rows beside the same page with 100, in a database of each, on the fake host."""

import tempfile
from pathlib import Path
from statistics import median

from tests.bench.panel import BenchPanel, fake_settings, run_script
from tests.bench.table import Row, ours_at_most, ratio_at_most, side_by_side

FEW, MANY = 100, 10_000
ROUNDS = 5


def measure(bench: BenchPanel) -> list[Row]:
    """Rounds alternate; the pages are asked of Django itself, so that nothing but the page is measured."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="owb") as place:
        few, many = (fake_settings(Path(place) / str(count)) for count in (FEW, MANY))
        for count, settings in ((FEW, few), (MANY, many)):
            run_script("seed", str(count), **settings)
        rounds = [(run_script("list_pages", **many), run_script("list_pages", **few)) for _ in range(ROUNDS)]
    for page, what in (("page", "instance list, 10,000 rows"), ("api", "the same by REST")):
        ours, reference = [[seen[page]["ms"] for seen in side] for side in zip(*rounds, strict=True)]
        queries = [rounds[0][side][page]["queries"] for side in (0, 1)]
        note = f"against {FEW} rows; {queries[0]} and {queries[1]} queries"
        rows.append(side_by_side(f"list-{page}", what, "ms", ours, reference, ratio_at_most(1.5), note))
        rows.append(_queries(page, what, queries))
    return rows


def _queries(page: str, what: str, counts: list[int]) -> Row:
    target = ours_at_most(median(counts[1:]), "")
    return Row(f"list-{page}-queries", f"{what}: queries", "", counts[0], counts[1], counts[0] / counts[1], target, "the same number")
