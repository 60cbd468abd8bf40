"""Work that several processes ask for at once is done once for all of them: who waited while it was begun anew need not do it again."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from networks.reconcile.drivers import fabric
from opsweb.environment import env

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@contextmanager
def turn(name: str) -> Iterator[bool]:
    """Under the fabric's lock `name`: whether there is work left: not when another process began it after we asked, and ended well.

    Everything that the work reads must be read inside, so that it sees what was committed before anybody asked.
    Raises: FabricError as the lock does.
    """
    asked = _now()
    with fabric().lock(name):
        done = env.run_dir / f"{name}.done"
        if _last(done) > asked:
            yield False
            return
        began = _now()
        yield True
        done.write_text(f"{BOOT_ID.read_text().strip()} {began}")


def _now() -> int:
    """Nanoseconds since the host's boot: no clock is set back (INV-21)."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _last(done: Path) -> int:
    """When the work that was done last began; 0 when it was never done in this boot."""
    try:
        boot, began = done.read_text().split()
        return int(began) if boot == BOOT_ID.read_text().strip() else 0
    except (FileNotFoundError, ValueError):
        return 0
