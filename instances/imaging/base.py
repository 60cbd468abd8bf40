"""The values that go into and come out of the image builder. Pure: anyone may import this module."""

from dataclasses import dataclass, field
from pathlib import Path


class ImagingError(Exception):
    """An upload or a config that can't become an image; the sentence tells the person what to do about it.

    `code` is stable and for programs, e.g. "not_elf", "wrong_arch", "missing_libraries", "bad_archive", "too_large", "bad_path",
    "bad_config", "timeout".
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Recipe:
    """What an image is made of, beside the bytes. All of it reaches the digest; nothing of an instance is in here."""

    program: str  # guest path of the program, absolute
    program_member: str = ""  # the program is this member of the archive; "" when it was uploaded by itself
    files: tuple[str, ...] = ()  # members of the archive to copy; empty together with `dirs` and `map_dirs`: all of them
    dirs: tuple[str, ...] = ()
    map_dirs: tuple[tuple[str, str], ...] = ()  # (glob of members, guest directory)
    arch: str = "x86_64"


@dataclass(frozen=True)
class Limits:
    """What one build may take."""

    unpacked_bytes: int = 2 * 1024**3
    files: int = 50_000
    seconds: int = 120
    memory_bytes: int = 1024**3


@dataclass(frozen=True)
class BuildJob:
    """One build: root opens the paths (no symlink followed) and hands the child descriptors only."""

    program: Path | None
    archive: Path | None
    recipe: Recipe
    output: Path  # a new file, written whole or not at all
    uid: int  # the builder's own user and group id
    system_library_dirs: tuple[Path, ...] = (Path("/lib/x86_64-linux-gnu"), Path("/usr/lib/x86_64-linux-gnu"), Path("/lib64"))
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class BuildReport:
    """What came out: an uncompressed newc cpio archive. The same inputs give the same digest."""

    digest: str  # sha256 of the output, hex
    size: int  # bytes
    files: int
    program: str  # guest path
    interpreter: str  # "" for a static program
    libraries: tuple[str, ...]  # guest paths that came from the panel's system directories
    hosts: tuple[tuple[str, str], ...]  # (address, name) pairs read from an uploaded etc/hosts
    notes: tuple[str, ...]


@dataclass(frozen=True)
class GuestNic:
    """How the guest's init configures one NIC, found by its MAC."""

    mac: str
    address: str = "10.0.2.15/24"  # CIDR; "" asks by DHCP
    gateway: str = "10.0.2.2"  # "" for none; of several NICs with one the first wins
    address6: str = ""  # CIDR; its gateway comes by router advertisement
    mtu: int = 0  # 0: the driver's own


@dataclass(frozen=True)
class GuestConfig:
    """What differs per instance; travels in its own small cpio archive behind the image's."""

    hostname: str
    program: str
    args: tuple[str, ...] = ()  # argv[1..]
    env: tuple[tuple[str, str], ...] = ()
    hosts: tuple[tuple[str, str], ...] = ()  # (address, name)
    nameservers: tuple[str, ...] = ("10.0.2.3",)  # (): those that DHCP brings
    search: str = ""  # the domain that short names are looked up in, beside `nameservers`
    nics: tuple[GuestNic, ...] = ()
    watch_ports: tuple[tuple[str, int], ...] = ()  # (protocol, guest port) to report when they listen
    reboot_on_exit: bool = False
    working_directory: str = "/"
