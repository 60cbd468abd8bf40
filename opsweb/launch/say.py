"""What `make up` and its siblings print: plain lines, and the time of each step that took a while."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

WORTH_SAYING = 1.0  # seconds; a step that had nothing to do stays silent


def say(line: str) -> None:
    """Print it now, also into a pipe."""
    print(line, flush=True)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print how long it took, when it took a while."""
    began = time.monotonic()
    yield
    if (took := time.monotonic() - began) >= WORTH_SAYING:
        say(f"· {name} {took:.1f} s")
