"""What a signal does: Ctrl-C, a plain `kill` and a closed terminal are one and the same interruption. Used by main, run and building."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def hear() -> None:
    """From here on SIGTERM and SIGHUP clean up as Ctrl-C does, unless the caller wants them ignored (nohup)."""
    if threading.current_thread() is threading.main_thread():
        for number in NUMBERS:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _interrupt)


@contextmanager
def held_back() -> Iterator[None]:
    """An interruption waits until the block is done: what the panel makes meanwhile must be known, or nobody removes it."""
    heard: list[int] = []
    caught = [number for number in NUMBERS if callable(signal.getsignal(number))]
    if threading.current_thread() is not threading.main_thread():
        caught = []
    before = {number: signal.signal(number, lambda got, _frame: heard.append(got)) for number in caught}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if heard:
        raise KeyboardInterrupt


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
