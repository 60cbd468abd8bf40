"""Processes by pidfd: a signal reaches the very process that was judged, never a later one of its number."""

import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress

from networks.fabric.base import FabricError


def send(pid: int, number: signal.Signals, is_it: Callable[[int], bool]) -> None:
    """Signal the process if `is_it` still says so once it cannot be another. Gone: nothing."""
    with suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        try:
            if is_it(pid):
                signal.pidfd_send_signal(process, number)
        finally:
            os.close(process)


def end(pid: int, is_it: Callable[[int], bool], seconds: float) -> None:
    """SIGTERM and, after `seconds`, SIGKILL; returns when it has ended. Raises: FabricError("timeout")."""
    with suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        try:
            for number in (signal.SIGTERM, signal.SIGKILL):
                if not is_it(pid):
                    return
                signal.pidfd_send_signal(process, number)
                if _ended(process, seconds):
                    return
        finally:
            os.close(process)
        raise FabricError("timeout", f"Process {pid} did not end within {2 * seconds:.0f} s, not even by SIGKILL.")


def _ended(process: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
