"""A stretch of an open file that stands for a file's content, not in memory. The archive reader makes it, the cpio writer reads it."""

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass

_COPY_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Span:
    """`size` bytes from `offset` of the file behind the descriptor; the descriptor's own position is never used."""

    descriptor: int
    offset: int
    size: int

    def chunks(self) -> Iterator[bytes]:
        """The bytes in pieces. Raises: ValueError when the file has become shorter."""
        at = 0
        while at < self.size:
            chunk = os.pread(self.descriptor, min(_COPY_BYTES, self.size - at), self.offset + at)
            if not chunk:
                raise ValueError(f"a file ended {self.size - at} bytes early")
            at += len(chunk)
            yield chunk

    def head(self, size: int) -> bytes:
        """The first bytes, at most `size`."""
        return os.pread(self.descriptor, min(size, self.size), self.offset)

    def open(self) -> io.BufferedReader:
        """The bytes as a seekable binary file."""
        return io.BufferedReader(_SpanFile(self))


class _SpanFile(io.RawIOBase):
    def __init__(self, span: Span) -> None:
        self._span = span
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._span.size}[whence]
        if start + offset < 0:
            raise ValueError("a seek before the beginning")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        size = max(0, min(len(buffer), self._span.size - self._at))
        data = os.pread(self._span.descriptor, size, self._span.offset + self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
