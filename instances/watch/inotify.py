"""Waits for files to grow without polling: a small face on inotify(7), which the standard library lacks. Used by watch.watcher."""

import asyncio
import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path

IN_MODIFY = 0x2
IN_CREATE = 0x100
IN_MOVED_TO = 0x80
IN_IGNORED = 0x8000
IN_Q_OVERFLOW = 0x4000
_EVENT = struct.Struct("iIII")  # wd, mask, cookie, length of the name behind it
_libc = ctypes.CDLL(None, use_errno=True)


class Inotify:
    """Calls back in the running event loop when a watched path changes; an overflow calls everyone."""

    def __init__(self) -> None:
        self._fd = self._checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._callbacks: dict[int, Callable[[], None]] = {}
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def watch(self, path: Path, mask: int, callback: Callable[[], None]) -> int:
        """Watch `path`; returns a number for `forget`. Raises: OSError when it is not there."""
        number = self._checked(_libc.inotify_add_watch(self._fd, os.fsencode(path), mask))
        self._callbacks[number] = callback
        return number

    def forget(self, number: int) -> None:
        """Stop watching; fine when the path is gone already."""
        if self._callbacks.pop(number, None) is not None:
            _libc.inotify_rm_watch(self._fd, number)

    def close(self) -> None:
        """Stop everything."""
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def _read(self) -> None:
        data = os.read(self._fd, 65_536)
        called: set[int] = set()
        at = 0
        while at < len(data):
            number, mask, _, length = _EVENT.unpack_from(data, at)
            at += _EVENT.size + length
            called |= set(self._callbacks) if mask & IN_Q_OVERFLOW else {number}
            if mask & IN_IGNORED:
                self._callbacks.pop(number, None)
        for number in called:
            if callback := self._callbacks.get(number):
                callback()

    @staticmethod
    def _checked(result: int) -> int:
        if result < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return result
