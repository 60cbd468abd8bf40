"""ELF files and archives made byte by byte, so that these tests need neither a compiler nor downloads."""

import io
import os
import struct
import tarfile
from collections.abc import Iterable
from pathlib import Path

from instances.imaging.archive import ArchiveReader
from instances.imaging.base import Limits
from instances.imaging.tree import Tree

BASE = 0x400000
X86_64, AARCH64 = 62, 183

open_spools: list[int] = []


def elf(
    *,
    interpreter: str = "",
    needed: Iterable[str] = (),
    runpath: str = "",
    rpath: str = "",
    soname: str = "",
    kind: int = 2,
    machine: int = X86_64,
    abi: int = 0,
    wants: Iterable[tuple[str, str]] = (),
    offers: Iterable[str] = (),
    modinfo: dict[str, str] | None = None,
) -> bytes:
    """A 64-bit little-endian ELF file with just these facts (kind 2: executable, 3: shared, 1: object)."""
    strings = _Strings()
    dynamic = [(1, strings.add(name)) for name in needed]
    dynamic += [(tag, strings.add(text)) for tag, text in ((14, soname), (15, rpath), (29, runpath)) if text]
    need_data, need_count = _verneed(list(wants), strings)
    def_data, def_count = _verdef(list(offers), strings)
    program_count = 3
    at = 64 + 56 * program_count
    interp_at = at
    interp = interpreter.encode() + b"\0"
    strings_at = interp_at + len(interp)
    dynamic_at = (strings_at + len(strings.data) + 15) // 16 * 16
    tags = b"".join(struct.pack("<QQ", tag, value) for tag, value in dynamic)
    tags += struct.pack("<QQQQQQ", 5, BASE + strings_at, 10, len(strings.data), 0, 0)
    body = bytearray(dynamic_at - at)
    body[: len(interp)] = interp
    body[strings_at - at : strings_at - at + len(strings.data)] = strings.data
    sections, tail = _sections(dynamic_at + len(tags), strings_at, len(strings.data), need_data, need_count, def_data, def_count, modinfo)
    total = dynamic_at + len(tags) + len(tail)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, total, total, 0x1000)
    interp_header = struct.pack("<IIQQQQQQ", 3 if interpreter else 0, 4, interp_at, BASE + interp_at, 0, len(interp), len(interp), 1)
    has_dynamic = 2 if dynamic or interpreter else 0
    dynamic_header = struct.pack("<IIQQQQQQ", has_dynamic, 6, dynamic_at, BASE + dynamic_at, 0, len(tags), len(tags), 8)
    ident = b"\x7fELF" + bytes([2, 1, 1, abi]) + bytes(8)
    header = struct.pack(
        *("<16sHHIQQQIHHHHHH", ident, kind, machine, 1, BASE, 64, total if sections else 0, 0),
        *(64, 56, program_count, 64, len(sections), len(sections) - 1 if sections else 0),
    )
    return header + load + interp_header + dynamic_header + bytes(body) + tags + tail + b"".join(sections)


class _Strings:
    def __init__(self) -> None:
        self.data = b"\0"

    def add(self, text: str) -> int:
        at = len(self.data)
        self.data += text.encode() + b"\0"
        return at


def _verneed(wants: list[tuple[str, str]], strings: _Strings) -> tuple[bytes, int]:
    data = b""
    for number, (library, version) in enumerate(wants):
        last = number == len(wants) - 1
        data += struct.pack("<HHIII", 1, 1, strings.add(library), 16, 0 if last else 32)
        data += struct.pack("<IHHII", 0, 0, 2, strings.add(version), 0)
    return data, len(wants)


def _verdef(offers: list[str], strings: _Strings) -> tuple[bytes, int]:
    data = b""
    for number, version in enumerate(offers):
        last = number == len(offers) - 1
        data += struct.pack("<HHHHIII", 1, 0, number + 1, 1, 0, 20, 0 if last else 28)
        data += struct.pack("<II", strings.add(version), 0)
    return data, len(offers)


def _sections(
    at: int, strings_at: int, strings_size: int, need: bytes, needs: int, define: bytes, defines: int, modinfo: dict[str, str] | None
) -> tuple[list[bytes], bytes]:
    names = _Strings()
    tail = b""
    headers = [bytes(64)]

    def section(name: str, kind: int, offset: int, size: int, link: int, info: int) -> None:
        headers.append(struct.pack("<IIQQQQIIQQ", names.add(name), kind, 0, 0, offset, size, link, info, 1, 0))

    section(".dynstr", 3, strings_at, strings_size, 0, 0)
    if needs:
        section(".gnu.version_r", 0x6FFFFFFE, at + len(tail), len(need), 1, needs)
        tail += need
    if defines:
        section(".gnu.version_d", 0x6FFFFFFD, at + len(tail), len(define), 1, defines)
        tail += define
    if modinfo is not None:
        data = b"".join(f"{name}={value}".encode() + b"\0" for name, value in modinfo.items())
        section(".modinfo", 1, at + len(tail), len(data), 0, 0)
        tail += data
    name_at = names.add(".shstrtab")
    headers.append(struct.pack("<IIQQQQIIQQ", name_at, 3, 0, 0, at + len(tail), len(names.data), 0, 0, 1, 0))
    return headers, tail + names.data


def tar(*members: tuple[str, bytes] | tarfile.TarInfo, mode: str = "w", format: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar archive of (name, content) files (executable ones when they are ELF) and ready TarInfo objects."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=format) as archive:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member, io.BytesIO(b"x" * member.size))
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                info.mode = 0o755 if member[1].startswith(b"\x7fELF") else 0o644
                archive.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


def special(name: str, kind: bytes, target: str = "", mode: int = 0o644, size: int = 0) -> tarfile.TarInfo:
    """A tar member that is no plain file."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    info.mode = mode
    info.size = size
    return info


def unpack(data: bytes, directory: Path, limits: Limits | None = None) -> Tree:
    """What the archive reader makes of `data`. The spool stays open until the test ends (conftest), as in the builder's child."""
    source = directory / "upload"
    source.write_bytes(data)
    spool = directory / "spool"
    descriptor = os.open(source, os.O_RDONLY)
    spool_descriptor = os.open(spool, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    open_spools.append(spool_descriptor)
    try:
        return ArchiveReader(descriptor, spool_descriptor, limits or Limits()).read()
    finally:
        os.close(descriptor)


def contents(tree: Tree) -> dict[str, bytes]:
    """Every member's content."""
    return {
        path: entry.content if isinstance(entry.content, bytes) else b"".join(entry.content.chunks())
        for path, entry in tree.entries.items()
    }
