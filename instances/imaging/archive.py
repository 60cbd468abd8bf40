"""Reads an uploaded tar or zip archive into a Tree, from a descriptor into a spool file: nothing is ever unpacked to a host path.

Called in the builder's child only. Two of libarchive's formats are switched on; others read host files by name (mtree).
"""

import os
import stat
from collections.abc import Iterator

import libarchive
from libarchive.entry import ArchiveEntry

from instances.imaging import cpio
from instances.imaging.base import ImagingError, Limits
from instances.imaging.paths import link_target, member_path
from instances.imaging.span import Span
from instances.imaging.tree import Tree

_FILTERS = ((b"\x1f\x8b", "gzip"), (b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2"), (b"\x28\xb5\x2f\xfd", "zstd"))
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_BLOCK_BYTES = 256 * 1024


class ArchiveReader:
    """One pass over one archive. Contents go to the spool, counted against the limits while they come."""

    def __init__(self, descriptor: int, spool: int, limits: Limits) -> None:
        self._descriptor = descriptor
        self._spool = spool
        self._limits = limits
        self._end = 0  # of the spool
        self._unpacked = 0  # bytes, with every hard link counted
        self._seen = 0
        self._tree = Tree()

    def read(self) -> Tree:
        """All members.

        Raises: ImagingError "bad_archive" (no tar or zip, broken, encrypted, a device, a hard link to nothing, a name twice),
        "bad_path" (a name or a symlink that leaves the archive), "too_large".
        """
        try:
            with self._open() as members:
                for member in members:
                    self._take(member)
        except libarchive.ArchiveError as error:
            raise ImagingError("bad_archive", f"The archive can't be read: {_reason(error)}.") from error
        self._tree.check_parents()
        return self._tree

    def _open(self) -> "libarchive.read.ArchiveRead":
        head = os.pread(self._descriptor, 8, 0)
        if head.startswith(_ZIP_MAGIC):
            kind, packing = "zip", "none"
        else:
            kind, packing = "tar", next((name for magic, name in _FILTERS if head.startswith(magic)), "none")
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        return libarchive.fd_reader(self._descriptor, format_name=kind, filter_name=packing)

    def _take(self, member: ArchiveEntry) -> None:
        self._seen += 1
        if self._seen > self._limits.files:
            raise ImagingError("too_large", f"The archive holds more than {self._limits.files} files.")
        path = member_path(_decoded(member.pathname))
        if not path:  # "./" itself
            return
        self._tree.add(self._entry(path, member))

    def _entry(self, path: str, member: ArchiveEntry) -> cpio.Entry:
        if member.islnk:
            return self._hard_link(path, member)
        if member.isreg:
            permissions = member.mode & 0o777  # setuid, setgid and sticky bits fall away
            return cpio.Entry(path, stat.S_IFREG | (permissions or 0o644), self._spooled(path, member.get_blocks(_BLOCK_BYTES)))
        if member.isdir:
            return cpio.directory(path, (member.mode & 0o1777) | 0o700)
        if member.issym:
            return cpio.symlink(path, link_target(path, _decoded(member.linkpath)))
        raise ImagingError("bad_archive", f"{path!r} is a device, pipe or socket; files, directories and links are what an image can take.")

    def _spooled(self, path: str, blocks: Iterator[bytes]) -> Span:
        start = self._end
        for block in blocks:
            self._count(len(block), path)
            os.pwrite(self._spool, block, self._end)
            self._end += len(block)
        return Span(self._spool, start, self._end - start)

    def _count(self, size: int, path: str) -> None:
        self._unpacked += size
        if self._unpacked > self._limits.unpacked_bytes:
            limit = self._limits.unpacked_bytes // 1024**2
            raise ImagingError("too_large", f"The archive unpacks to more than {limit} MiB (the limit was reached in {path!r}).")

    def _hard_link(self, path: str, member: ArchiveEntry) -> cpio.Entry:
        name = _decoded(member.linkpath)
        target = self._tree.entries.get(member_path(name))
        if target is None or not stat.S_ISREG(target.mode):
            raise ImagingError("bad_archive", f"{path!r} is a hard link to {name!r}, which is no file before it in the archive.")
        self._count(target.length, path)
        return cpio.Entry(path, target.mode, target.content)


def _decoded(name: str | bytes | None) -> str:
    """A name of the archive; libarchive gives bytes where they are no UTF-8, and they stay these bytes."""
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name or ""


def _reason(error: libarchive.ArchiveError) -> str:
    text = str(error.msg or "unknown reason")
    if "passphrase" in text.lower() or "encrypt" in text.lower():
        return "it is encrypted"
    if "unrecognized archive format" in text.lower():
        return "it is no tar or zip archive"
    return text.strip().rstrip(".")[:200]
