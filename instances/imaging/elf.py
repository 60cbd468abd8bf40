"""Reads what an ELF file says about itself and never runs it. Called in the builder's child, for programs and libraries."""

import struct
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection
from elftools.elf.segments import InterpSegment

from instances.imaging.base import ImagingError

MACHINES = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}

_MACHINE_NAMES = {"EM_X86_64": "x86-64", "EM_AARCH64": "arm64", "EM_386": "x86 (32 bit)", "EM_ARM": "arm (32 bit)", "EM_RISCV": "RISC-V"}
_LINUX_ABIS = ("ELFOSABI_SYSV", "ELFOSABI_LINUX")
_MAX_TAGS = 4096
_MAX_VERSIONS = 4096

# What pyelftools lets out on hostile files.
_BROKEN = (
    *(ELFError, ConstructError, struct.error, OverflowError, ValueError, KeyError, IndexError),
    *(AttributeError, TypeError, AssertionError, RecursionError, MemoryError, OSError, NotImplementedError),
)

_LOOKS = (
    (b"MZ", "a Windows program (PE)"),
    (b"\xcf\xfa\xed\xfe", "a macOS program (Mach-O)"),
    (b"\xce\xfa\xed\xfe", "a macOS program (Mach-O, 32 bit)"),
    (b"\xca\xfe\xba\xbe", "a macOS universal program or a Java class"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "gzip-compressed data"),
    (b"\xfd7zXZ\0", "xz-compressed data"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed data"),
    (b"QFI\xfb", "a qcow2 disk image"),
    (b"!<arch>\n", "a static library (ar archive) or a Debian package"),
    (b"\0asm", "a WebAssembly module"),
)


@dataclass(frozen=True)
class Elf:
    """What matters of one file."""

    machine: str  # pyelftools' name: EM_X86_64
    interpreter: str = ""  # PT_INTERP; "" for a static program or a library
    needed: tuple[str, ...] = ()  # DT_NEEDED, in order
    search: tuple[str, ...] = ()  # directories of RPATH or RUNPATH, $ORIGIN not replaced yet
    soname: str = ""
    entry: int = 0  # where it begins; 0: nowhere, as in most libraries
    wants: frozenset[tuple[str, str]] = frozenset()  # (library, symbol version) pairs that it was linked against
    offers: frozenset[str] = frozenset()  # symbol versions that it defines


def read_program(file: IO[bytes], name: str, arch: str = "x86_64") -> Elf:
    """The program's facts.

    Raises: ImagingError "not_elf" saying what the file looks like instead, "wrong_arch", or "bad_elf" for a broken or unfitting one.
    """
    _check_magic(file, name)
    elf, kind = _parse(file, name, arch)
    if kind not in ("ET_EXEC", "ET_DYN"):
        raise ImagingError("bad_elf", f"{name} is an ELF file but no program ({_KINDS.get(kind, kind)}): link it first.")
    if kind == "ET_DYN" and not elf.interpreter and (elf.soname or not elf.entry):
        raise ImagingError("bad_elf", f"{name} is a shared library, not a program.")
    return elf


def read_library(file: IO[bytes], name: str, arch: str = "x86_64") -> Elf:
    """A shared library's facts. Raises: ImagingError like `read_program`."""
    _check_magic(file, name)
    return _parse(file, name, arch)[0]


_KINDS = {"ET_REL": "an object file", "ET_CORE": "a core dump", "ET_NONE": "of no type"}


def _check_magic(file: IO[bytes], name: str) -> None:
    file.seek(0)
    head = file.read(512)
    if not head.startswith(b"\x7fELF"):
        raise ImagingError(
            "not_elf", f"{name} is no Linux program (ELF): it looks like {looks_like(head)}. Upload an ELF built for Linux x86-64."
        )


def looks_like(head: bytes) -> str:
    """A guess at a file from its first bytes, as a phrase."""
    if not head:
        return "an empty file"
    if head.startswith(b"#!"):
        interpreter = head[2:].split(b"\n")[0].strip()[:60].decode("ascii", "replace")
        return f"a script for {interpreter}"
    if head[257:262] == b"ustar":
        return "a tar archive"
    for magic, phrase in _LOOKS:
        if head.startswith(magic):
            return phrase
    return "text" if _is_text(head) else "unknown data"


def _is_text(head: bytes) -> bool:
    return b"\0" not in head and all(byte >= 32 or byte in b"\t\n\r\f\x1b" for byte in head)


def _parse(file: IO[bytes], name: str, arch: str) -> tuple[Elf, str]:
    try:
        elf = ELFFile(file)
        _check_target(elf, name, arch)
        return _facts(elf), str(elf["e_type"])
    except ImagingError:
        raise
    except _BROKEN as error:
        raise ImagingError("bad_elf", f"{name} starts like an ELF file but is broken: {type(error).__name__}.") from error


def _check_target(elf: ELFFile, name: str, arch: str) -> None:
    machine = str(elf["e_machine"])
    built_for = _MACHINE_NAMES.get(machine, machine.removeprefix("EM_"))
    if machine != MACHINES[arch] or elf.elfclass != 64 or not elf.little_endian:
        wanted = _MACHINE_NAMES[MACHINES[arch]]
        raise ImagingError("wrong_arch", f"{name} is built for {built_for}, {elf.elfclass} bit; this image needs Linux {wanted}, 64 bit.")
    abi = str(elf["e_ident"]["EI_OSABI"])
    if abi not in _LINUX_ABIS:
        raise ImagingError("wrong_arch", f"{name} is built for {abi.removeprefix('ELFOSABI_')}, not for Linux.")


def _facts(elf: ELFFile) -> Elf:
    interpreter = ""
    tags: list[Any] = []
    for segment in elf.iter_segments():
        if isinstance(segment, InterpSegment):
            interpreter = segment.get_interp_name()
        elif isinstance(segment, DynamicSegment):
            tags = list(islice(segment.iter_tags(), _MAX_TAGS))
    # RUNPATH makes the loader ignore RPATH (ld.so(8)).
    paths = _values(tags, "DT_RUNPATH", "runpath") or _values(tags, "DT_RPATH", "rpath")
    return Elf(
        machine=str(elf["e_machine"]),
        interpreter=interpreter,
        needed=tuple(_values(tags, "DT_NEEDED", "needed")),
        search=tuple(directory for path in paths for directory in path.split(":") if directory),
        soname=next(iter(_values(tags, "DT_SONAME", "soname")), ""),
        entry=int(elf["e_entry"]),
        wants=frozenset(_wanted_versions(elf)),
        offers=frozenset(_offered_versions(elf)),
    )


def _values(tags: list[Any], tag: str, attribute: str) -> list[str]:
    return [str(getattr(entry, attribute)) for entry in tags if entry.entry.d_tag == tag]


def _wanted_versions(elf: ELFFile) -> list[tuple[str, str]]:
    section = elf.get_section_by_name(".gnu.version_r")
    if not isinstance(section, GNUVerNeedSection):
        return []
    pairs = ((str(need.name), version.name) for need, versions in section.iter_versions() for version in versions)
    return list(islice(pairs, _MAX_VERSIONS))


def _offered_versions(elf: ELFFile) -> list[str]:
    section = elf.get_section_by_name(".gnu.version_d")
    if not isinstance(section, GNUVerDefSection):
        return []
    names = (next(auxiliaries).name for _, auxiliaries in section.iter_versions())
    return list(islice(names, _MAX_VERSIONS))
