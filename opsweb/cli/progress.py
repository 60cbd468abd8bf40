"""A progress bar on stderr, drawn only for a person at a terminal. Used by uploads."""

import sys
import time
from types import TracebackType

WIDTH = 24
EVERY_SECONDS = 0.1
MIB = 1024**2


class Progress:
    """`label [#####-----] 12.0 of 24.0 MiB`, wiped when it ends."""

    def __init__(self, label: str, total: int) -> None:
        self._label, self._total = label, max(total, 1)
        self._shown = sys.stderr.isatty()
        self._next = 0.0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def update(self, done: int) -> None:
        """`done` bytes of the total are there."""
        if not self._shown or (time.monotonic() < self._next and done < self._total):
            return
        self._next = time.monotonic() + EVERY_SECONDS
        filled = WIDTH * done // self._total
        text = f"{self._label} [{'#' * filled}{'-' * (WIDTH - filled)}] {done / MIB:.1f} of {self._total / MIB:.1f} MiB"
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
