"""`make bench`: ours and the reference, measured in turn, as one table, kept in build/bench.json. `ONLY=echo` measures one group."""

import json
import os
import sys
from collections.abc import Callable

from tests.bench.panel import BenchPanel, bench_panel
from tests.bench.rows import burst, create, echo, events, flood, listing, network, rules, throughput
from tests.bench.table import Row, render
from tests.host.scratch import CLONE
from tests.namespaces import in_own_namespace

GROUPS: dict[str, Callable[[BenchPanel], list[Row]]] = {
    "create": create.measure,
    "burst": burst.measure,
    "echo": echo.measure,
    "flood": flood.measure,
    "events": events.measure,
    "listing": listing.measure,
    "network": network.measure,
    "rules": rules.measure,
    "throughput": throughput.measure,
}


def main() -> int:
    """0 when every target is met, 1 when one is missed, 2 for an unknown group."""
    only = os.environ.get("ONLY", "")
    if only and only not in GROUPS:
        print(f"ONLY={only}: there is no such group; there are {', '.join(GROUPS)}.", file=sys.stderr)
        return 2
    in_own_namespace()
    rows: list[Row] = []
    with bench_panel() as bench:
        for name in [only] if only else GROUPS:
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            rows += GROUPS[name](bench)
    print(render(rows))
    for row in rows:
        print(f"  {row.key}: {row.note}")
    (CLONE / "build" / "bench.json").write_text(json.dumps([row.facts for row in rows], indent=2))
    return 0 if all(row.holds for row in rows) else 1


sys.exit(main())
