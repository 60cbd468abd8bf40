"""One holder per VM among all processes of this host, by flock: the kernel frees it when its holder dies. For both drivers."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from .base import DriverError

WAIT = 30.0  # seconds

_STEP = 0.02


@contextmanager
def held(directory: Path, vm: UUID) -> Iterator[None]:
    """Hold the lock of `vm`, a file in `directory`.

    Raises: DriverError("timeout") when somebody else holds it all the time.
    """
    path = directory / str(vm)
    fd = _acquire(path, time.monotonic() + WAIT)
    try:
        yield
    finally:
        os.close(fd)


def remove(directory: Path, vm: UUID) -> None:
    """Remove the lock's file, which its holder may do: who waits for it sees that it is gone and takes the next."""
    (directory / str(vm)).unlink(missing_ok=True)


def discard(directory: Path, vm: UUID) -> None:
    """Remove the lock's file when nobody holds it; a holder's own stays, or a second one would come in beside it."""
    path = directory / str(vm)
    with suppress(FileNotFoundError):
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if _lock(fd) and _is_still(path, fd):
                path.unlink()
        finally:
            os.close(fd)


def _acquire(path: Path, until: float) -> int:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if _lock(fd) and _is_still(path, fd):
            return fd
        os.close(fd)
        if time.monotonic() > until:
            raise DriverError("timeout", "Another task has been working on this VM for too long; try again.")
        time.sleep(_STEP)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False
