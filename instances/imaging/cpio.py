"""Writes and reads newc cpio archives, the kernel's initramfs format (Documentation/driver-api/early-userspace/buffer-format.rst).

Called by everything in this package that makes a part of an initrd; the reader serves tests.
"""

import itertools
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from instances.imaging.span import Span

MAGIC = b"070701"
TRAILER = "TRAILER!!!"
HEADER_BYTES = 110
_MAX_SIZE = 0xFFFF_FFFF


@dataclass(frozen=True)
class Entry:
    """One member. `path` is relative to the guest's root and normal (no leading slash, no dot parts)."""

    path: str
    mode: int  # type and permission bits, as in stat(2)
    content: bytes | Span = b""  # of a symlink: its target
    device: tuple[int, int] = (0, 0)  # major, minor of a device node

    @property
    def length(self) -> int:
        """Bytes of content."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.size


def directory(path: str, permissions: int = 0o755) -> Entry:
    """A directory."""
    return Entry(path, stat.S_IFDIR | permissions)


def regular(path: str, content: bytes, permissions: int = 0o644) -> Entry:
    """A regular file."""
    return Entry(path, stat.S_IFREG | permissions, content)


def symlink(path: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(path, stat.S_IFLNK | 0o777, target.encode("utf-8", "surrogateescape"))


def with_parents(entries: Iterable[Entry]) -> list[Entry]:
    """The entries sorted by path, with every missing parent directory (0755) put before its children."""
    known = {entry.path: entry for entry in entries}
    for path in list(known):
        while (path := path.rpartition("/")[0]) and path not in known:
            known[path] = directory(path)
    return [known[path] for path in sorted(known, key=lambda path: path.split("/"))]


def _header(entry: Entry, inode: int) -> bytes:
    name = entry.path.encode("utf-8", "surrogateescape") + b"\0"
    if entry.length > _MAX_SIZE:
        raise ValueError(f"{entry.path} is larger than 4 GiB, the most that a cpio member can hold")
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (inode, entry.mode, 0, 0, links, 0, entry.length, 0, 0, *entry.device, len(name), 0)
    return _padded(MAGIC + b"".join(b"%08X" % value for value in fields) + name)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _chunks(entry: Entry) -> Iterator[bytes]:
    if isinstance(entry.content, bytes):
        yield entry.content
    else:
        yield from entry.content.chunks()
    yield bytes(-entry.length % 4)


def write(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The archive in pieces: times and owners are 0 and inodes count up, so the same entries always give the same bytes.

    The end is padded to 512 bytes: the kernel reads the next archive of a concatenated initrd from there. The caller gives the order.
    """
    total = 0
    for inode, entry in enumerate(entries, start=1):
        for piece in itertools.chain((_header(entry, inode),), _chunks(entry)):
            total += len(piece)
            yield piece
    trailer = _header(Entry(TRAILER, 0), 0)
    yield trailer + bytes(-(total + len(trailer)) % 512)


def pack(entries: Iterable[Entry]) -> bytes:
    """A small archive whole, parents added and sorted."""
    return b"".join(write(with_parents(entries)))


def read(data: bytes) -> Iterator[Entry]:
    """The members of one archive or of several concatenated ones. Raises: ValueError where the data is no newc archive."""
    at = 0
    while at < len(data):
        if data[at : at + 1] == b"\0":
            at += 1
            continue
        if data[at : at + 6] != MAGIC:
            raise ValueError(f"no cpio header at byte {at}")
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        name_at = at + HEADER_BYTES
        name = data[name_at : name_at + fields[11] - 1].decode("utf-8", "surrogateescape")
        body_at = (name_at + fields[11] + 3) // 4 * 4
        at = (body_at + fields[6] + 3) // 4 * 4
        if name != TRAILER:
            yield Entry(name, fields[1], data[body_at : body_at + fields[6]], (fields[9], fields[10]))
