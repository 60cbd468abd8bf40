"""Finds a guest kernel and the modules that our init loads. Called by whoever prepares the base archive; reads trusted files only."""

import gzip
import io
import lzma
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import libarchive
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from instances.imaging.base import ImagingError

# What a guest needs before its program starts, and what may come while it runs (power button, random numbers, panics, disks).
BOOT_MODULES = ("virtio_pci", "virtio_net")
LATE_MODULES = ("button", "evdev", "virtio_rng", "pvpanic_pci", "virtio_blk")


@dataclass(frozen=True)
class Module:
    """One loadable module; `needs` are the names of those that must be there first."""

    name: str  # with underscores
    path: Path  # .ko, or compressed: .ko.xz, .ko.gz, .ko.zst
    needs: tuple[str, ...]

    def content(self) -> bytes:
        """The module itself, uncompressed."""
        return read_module(self.path)


@dataclass(frozen=True)
class Kernel:
    """A bzImage, its version, and the modules for our init with all they need, dependencies first."""

    image: Path
    version: str  # as `uname -r` says it
    modules: tuple[Module, ...]


def find_kernel(root: Path | None = None, image: Path | None = None) -> Kernel:
    """The kernel in an unpacked Debian package (`root`, the newest where it holds several), or the one that `image` names.

    `image` is a vmlinuz, or a directory like `root`. Modules lie beside it (../lib/modules/<version>, ../usr/lib/modules/<version>)
    or in /lib/modules. Raises: ImagingError("no_kernel") naming what is missing.
    """
    if image is None or image.is_dir():
        image = _newest(image or root or Path("/"))
    version = read_version(image)
    beside = image.parent.parent
    places = [place / version for place in (beside / "lib/modules", beside / "usr/lib/modules", Path("/lib/modules"))]
    return Kernel(image, version, find_modules(next((path for path in places if path.is_dir()), places[0])))


def _newest(root: Path) -> Path:
    images = sorted((root / "boot").glob("vmlinuz-*"), key=lambda path: _version_key(path.name))
    if not images:
        raise ImagingError(
            "no_kernel", f"There is no boot/vmlinuz-<version> in {root}: unpack a linux-image package there or set OPSWEB_KERNEL."
        )
    return images[-1]


def _version_key(name: str) -> list[int]:
    digits = "".join(character if character.isdigit() else " " for character in name)
    return [int(word) for word in digits.split()]


def read_version(image: Path) -> str:
    """The version in a bzImage's header (Documentation/x86/boot.rst: kernel_version). Raises: ImagingError("no_kernel")."""
    try:
        with image.open("rb") as file:
            head = file.read(64 * 1024)
    except OSError as error:
        raise ImagingError("no_kernel", f"The kernel {image} can't be read: {error.strerror}.") from error
    if head[0x202:0x206] != b"HdrS":
        raise ImagingError("no_kernel", f"{image} is no x86 bzImage.")
    at = 0x200 + struct.unpack_from("<H", head, 0x20E)[0]
    return head[at : at + 256].split(b"\0")[0].split(b" ")[0].decode("ascii", "replace")


def find_modules(directory: Path, wanted: tuple[str, ...] = BOOT_MODULES + LATE_MODULES) -> tuple[Module, ...]:
    """The wanted modules of /lib/modules/<version> and what they need, each after its needs; what is built in is left out.

    Read from the modules themselves (`depends=` in .modinfo): an unpacked package has no modules.dep yet.
    Raises: ImagingError("no_kernel") naming all that are neither there nor built in.
    """
    files = {_name(path.name): path for path in sorted(directory.rglob("*.ko*"))}
    built_in = {_name(line) for line in _lines(directory / "modules.builtin")}
    found: dict[str, Module] = {}
    missing: list[str] = []
    for name in wanted:
        _collect(name, files, built_in, found, missing)
    if missing:
        raise ImagingError("no_kernel", f"The kernel's modules in {directory} lack {', '.join(missing)}.")
    return tuple(found.values())


def _collect(name: str, files: dict[str, Path], built_in: set[str], found: dict[str, Module], missing: list[str]) -> None:
    if name in found or name in built_in:
        return
    if name not in files:
        if name not in missing:
            missing.append(name)
        return
    needs = read_needs(files[name])
    for need in needs:
        _collect(need, files, built_in, found, missing)
    found[name] = Module(name, files[name], needs)


def read_needs(module: Path) -> tuple[str, ...]:
    """The names in a module's `depends=`. Raises: ImagingError("no_kernel") for one that is broken."""
    try:
        fields = _modinfo(io.BytesIO(read_module(module)))
    except (ELFError, OSError, lzma.LZMAError, libarchive.ArchiveError) as error:
        raise ImagingError("no_kernel", f"The kernel module {module} can't be read: {error}.") from error
    return tuple(_name(name) for name in fields.get("depends", "").split(",") if name)


def read_module(path: Path) -> bytes:
    """A module's content, uncompressed. Raises: OSError, LZMAError, ArchiveError."""
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".zst":
        with libarchive.file_reader(str(path), format_name="raw", filter_name="zstd") as members:
            return b"".join(block for member in members for block in member.get_blocks())
    return path.read_bytes()


def _modinfo(file: IO[bytes]) -> dict[str, str]:
    section = ELFFile(file).get_section_by_name(".modinfo")
    text = section.data().decode("utf-8", "replace") if section else ""
    return dict(line.split("=", 1) for line in text.split("\0") if "=" in line)


def _name(file: str) -> str:
    return file.rpartition("/")[2].split(".ko")[0].replace("-", "_")


def _lines(path: Path) -> list[str]:
    return path.read_text().split("\n") if path.exists() else []
