"""One VM's console log as a file: read from an offset, bounded on disk by punching out the oldest bytes. Used by watch.vm."""

import ctypes
import errno
import os
from pathlib import Path

from instances.console import Chunk, Window

FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2
BLOCK = 4096
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class ConsoleLog:
    """An open log. A byte's offset is its address for ever: punching out the head moves nothing (fallocate(2))."""

    def __init__(self, path: Path, keep: int) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._keep = keep
        self.start = self._first_data()

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    @property
    def is_gone(self) -> bool:
        """Whether the file was removed from its directory."""
        return os.fstat(self._fd).st_nlink == 0

    @property
    def window(self) -> Window:
        """What is kept."""
        return Window(self.start, os.fstat(self._fd).st_size)

    def read(self, start: int, limit: int) -> Chunk:
        """At most `limit` bytes from `start`, or from where the kept bytes begin; empty at the end."""
        start = max(start, self.start)
        return Chunk(start, os.pread(self._fd, limit, start))

    def trim(self) -> None:
        """Once twice as much is there as is to be kept, punch out the oldest."""
        size = os.fstat(self._fd).st_size
        if size - self.start <= 2 * self._keep:
            return
        start = (size - self._keep) // BLOCK * BLOCK
        punch(self._fd, 0, start)
        self.start = start

    def _first_data(self) -> int:
        try:
            return os.lseek(self._fd, 0, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data behind the offset: an empty file, or one great hole
                return os.fstat(self._fd).st_size
            raise


def punch(fd: int, start: int, end: int) -> None:
    """Free the blocks of [start, end); they read as zeros, the size stays. Raises: OSError."""
    if _libc.fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, start, end - start) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


ENDS_KEPT = 65_536  # bytes kept at each end of a log that only the driver reads: what it looks at


def bound_log(path: Path) -> None:
    """A guest may write to its status port, or make QEMU complain, without end: free all between the log's first and last bytes."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        size = os.fstat(fd).st_size
        if size > 4 * ENDS_KEPT:
            punch(fd, ENDS_KEPT, (size - ENDS_KEPT) // BLOCK * BLOCK)
    finally:
        os.close(fd)
