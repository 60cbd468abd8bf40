"""Locks between the processes of one host, for both fabric drivers: flock(2) on a file, gone with its holder."""

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from networks.fabric.base import FabricError

WAIT_SECONDS = 30.0
_RETRY_SECONDS = 0.005
_NAME = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)


@contextmanager
def hold(directory: Path, name: str, wait: float = WAIT_SECONDS, *, mode: int = 0o600) -> Iterator[None]:
    """Hold `directory`/`name`.lock alone; waits up to `wait` seconds. Whom `mode` lets read the file may hold it too.

    Raises: FabricError("bad_lock"), FabricError("timeout").
    """
    if not _NAME.fullmatch(name):
        raise FabricError("bad_lock", f"{name[:70]!r} is no name of a lock. Use lower-case letters, digits and dashes.")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The file stays: removing it would let a second process lock a new file of the same name.
    descriptor = os.open(directory / f"{name}.lock", os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        _wait(descriptor, name, wait)
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, name: str, wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                message = f"Another process has held {name!r} for {wait:.0f} s. Look for a worker that hangs, then try again."
                raise FabricError("timeout", message) from None
            time.sleep(_RETRY_SECONDS)
