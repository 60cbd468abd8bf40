"""The first part of every Linux guest's initrd: busybox, kernel modules and our init. The same inputs give the same bytes."""

import math
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from instances.imaging import cpio
from instances.imaging.kernel import BOOT_MODULES, LATE_MODULES, Kernel

HOME: Final = ".opsweb"  # the one directory of ours in a guest; the image owns all the rest
GUEST_FILES: Final = Path(__file__).parent / "guest"

_QUIET = "quiet loglevel=1"  # the console shows the program's bytes; a panic still prints
# Self-tests of the kernel's ciphers and the tracing of kernel functions: together half a second without hardware acceleration.
_FAST = "cryptomgr.notests no_timer_check initcall_blacklist=init_kprobe_trace,crypto_kdf108_init"
_FSTAB = "proc /proc proc defaults 0 0\nsys /sys sysfs defaults 0 0\ndev /dev devtmpfs defaults 0 0\n"


def cmdline(accelerator: str = "tcg") -> str:
    """The kernel's command line for a guest of ours.

    With TCG the local APIC's timer is left alone: measuring its speed takes 0.1 s, and it is no better than the HPET there.
    """
    timer = " nolapic_timer" if accelerator == "tcg" else ""
    return f"console=ttyS0,115200 {_QUIET} panic=-1 rdinit=/{HOME}/init {_FAST}{timer}"


def least_memory_mib(image_bytes: int) -> int:
    """What a guest needs to boot with an image of this size.

    The kernel holds the archives and their unpacked copy at once, and unpacks into at most half of what the archives leave.
    """
    return max(96, 64 + 3 * math.ceil(image_bytes / 1024**2))


def base_archive(kernel: Kernel, busybox: Path) -> bytes:
    """The archive for this kernel and this static busybox. Booted without an instance part it says `init` and powers off."""
    home = [
        cpio.regular(f"{HOME}/busybox", busybox.read_bytes(), 0o755),
        cpio.regular(f"{HOME}/init", (GUEST_FILES / "init").read_bytes(), 0o755),
        cpio.regular(f"{HOME}/dhcp", (GUEST_FILES / "dhcp").read_bytes(), 0o755),
        cpio.regular(f"{HOME}/plugged", (GUEST_FILES / "plugged").read_bytes(), 0o755),
        cpio.directory(f"{HOME}/nics"),
        cpio.regular(f"{HOME}/fstab", _FSTAB.encode()),
        cpio.Entry(f"{HOME}/events", stat.S_IFIFO | 0o600),
    ]
    return cpio.pack([*_tree(), *_devices(), *home, *_modules(kernel)])


def _tree() -> Iterable[cpio.Entry]:
    yield from (cpio.directory(path) for path in ("dev", "etc", "proc", "run", "sys"))
    yield cpio.directory("tmp", 0o1777)
    # The kernel opens it before anything is mounted.
    yield cpio.Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))


def _devices() -> Iterable[cpio.Entry]:
    """What devtmpfs lacks; init copies it there."""
    yield cpio.directory(f"{HOME}/dev/pts")
    yield cpio.directory(f"{HOME}/dev/shm", 0o1777)  # noqa: S108 - a path in the guest
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        yield cpio.symlink(f"{HOME}/dev/{name}", target)


def _modules(kernel: Kernel) -> Iterable[cpio.Entry]:
    place = f"{HOME}/lib/modules/{kernel.version}"
    for module in kernel.modules:
        yield cpio.regular(f"{place}/{module.name}.ko", module.content())
    yield cpio.regular(f"{place}/modules.dep", modules_dep(kernel).encode())
    loadable = {module.name for module in kernel.modules}
    for name, wanted in (("boot-modules", BOOT_MODULES), ("late-modules", LATE_MODULES)):
        yield cpio.regular(f"{HOME}/{name}", (" ".join(module for module in wanted if module in loadable) + "\n").encode())


def modules_dep(kernel: Kernel) -> str:
    """modules.dep(5): each module with all it needs, the ones to load first at the end of the line."""
    order = [module.name for module in kernel.modules]
    needs = {module.name: set(module.needs) & set(order) for module in kernel.modules}
    for name in order:
        needs[name] |= {far for near in needs[name] for far in needs[near]}
    return "".join(_dep_line(name, sorted(needs[name], key=order.index, reverse=True)) for name in order)


def _dep_line(name: str, needs: list[str]) -> str:
    return f"{name}.ko:" + "".join(f" {need}.ko" for need in needs) + "\n"
