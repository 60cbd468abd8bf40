"""Debian's cloud kernel for the guests, unpacked into `<state>/kernel` and never installed. Called by `make up`."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from opsweb.launch.accounts import Account, of_uid, owner, run_as
from opsweb.launch.errors import LaunchError
from opsweb.launch.panel import COMMAND_PATH, Panel

PACKAGE = "linux-image-cloud-amd64"  # depends on the kernel proper, whose name holds its version
# What guests load or may come to load; the other modules of the package are a hundred megabytes.
MODULES = (
    "drivers/virtio/*.ko*",
    "drivers/net/virtio_net.ko*",
    "drivers/net/net_failover.ko*",
    "net/core/failover.ko*",
    "drivers/block/virtio_blk.ko*",
    "drivers/scsi/virtio_scsi.ko*",
    "drivers/acpi/button.ko*",
    "drivers/input/evdev.ko*",
    "drivers/misc/pvpanic/*.ko*",
    "drivers/char/virtio_console.ko*",
    "drivers/char/hw_random/*.ko*",
)
OTHER_KERNEL = "Or name another kernel: OPSWEB_KERNEL=/boot/vmlinuz-<version>, its modules in /lib/modules/<version>."


def ensure(panel: Panel, parts: Account) -> bool:
    """Lay the kernel and its modules; False when they are there or OPSWEB_KERNEL names another kernel. Raises: LaunchError."""
    if "OPSWEB_KERNEL" in panel.given:
        _check_own(Path(panel.given["OPSWEB_KERNEL"]))
        return False
    target = panel.state / "kernel"
    if (target / "version").exists():
        return False
    fetch(target, parts.gid)
    return True


def ensure_for_tests(clone: Path) -> None:
    """The same kernel in `<clone>/build/kernel`, where the host tests look for it; root only. Raises: LaunchError."""
    target = clone / "build" / "kernel"
    if (target / "version").exists():
        return
    account = owner(clone)
    target.mkdir(parents=True, exist_ok=True)
    fetch(target, account.gid)
    for path in (target.parent, target, *target.rglob("*")):
        os.chown(path, account.uid, account.gid)


def fetch(target: Path, gid: int) -> None:
    """Bring the newest cloud kernel that apt knows into `target`. Raises: LaunchError."""
    with tempfile.TemporaryDirectory(prefix="opsweb-kernel-", dir="/var/tmp") as scratch:  # noqa: S108
        lay(_unpack(_download(Path(scratch))), target, gid)


def _check_own(kernel: Path) -> None:
    if not kernel.is_absolute() or not (kernel.is_file() or (kernel / "boot").is_dir()):
        raise LaunchError("kernel", f"OPSWEB_KERNEL names {kernel}: neither a kernel's file nor a directory with boot/ and lib/modules/.")


def _download(scratch: Path) -> Path:
    downloader = _downloader()
    os.chown(scratch, downloader.uid, downloader.gid)
    name = _versioned()
    done = subprocess.run(["apt-get", "download", "-q", name], cwd=scratch, capture_output=True, text=True)
    found = next(scratch.glob("*.deb"), None)
    if found is None:
        raise LaunchError("kernel", f"The package {name} could not be fetched: {done.stderr[-500:]}\n{OTHER_KERNEL}")
    return found


def _downloader() -> Account:
    """apt's own sandbox user where there is one."""
    try:
        entry = pwd.getpwnam("_apt")
    except KeyError:
        entry = pwd.getpwnam("nobody")
    return of_uid(entry.pw_uid, entry.pw_gid)


def _versioned() -> str:
    """`linux-image-6.1.0-…-cloud-amd64`, asked of apt; its lists are fetched when they are not there yet."""
    for update in (False, True):
        if update:
            subprocess.run(["apt-get", "update", "-q"], capture_output=True)
        done = subprocess.run(["apt-cache", "depends", "--important", PACKAGE], capture_output=True, text=True)
        if name := versioned(done.stdout):
            return name
    raise LaunchError("kernel", f"apt knows no package {PACKAGE}. {OTHER_KERNEL}")


def versioned(depends: str) -> str:
    """The kernel proper in the output of `apt-cache depends`; "" when it isn't there."""
    words = (line.split() for line in depends.splitlines())
    return next((found[1] for found in words if len(found) == 2 and found[0] == "Depends:" and found[1].startswith("linux-image-")), "")


def _unpack(package: Path) -> Path:
    """By an unprivileged user: nothing of the package runs as root."""
    downloader = _downloader()
    os.chown(package, downloader.uid, downloader.gid)
    tree = package.parent / "tree"
    done = run_as(downloader, ["dpkg-deb", "--extract", package.name, tree.name], cwd=package.parent, env={"PATH": COMMAND_PATH})
    if done.returncode != 0:
        raise LaunchError("kernel", f"{package.name} could not be unpacked: {done.stdout[-500:]}")
    return tree


def lay(tree: Path, target: Path, gid: int) -> None:
    """Copy the image and MODULES of an unpacked package, in the package's own layout; `version` comes last and says that all is there."""
    image = next(tree.glob("boot/vmlinuz-*"))
    version = image.name.removeprefix("vmlinuz-")
    _copy(image, target / "boot" / image.name, gid)
    (target / "boot" / image.name).chmod(0o644)  # each QEMU opens it again, under a uid of its own
    # Debian 13 and later lay the modules under usr/lib.
    source = next(path for path in (tree / "lib/modules" / version, tree / "usr/lib/modules" / version) if path.is_dir())
    modules = target / "lib/modules" / version
    for pattern in MODULES:
        for module in (source / "kernel").glob(pattern):
            _copy(module, modules / module.relative_to(source), gid)
    for index in source.glob("modules.*"):
        _copy(index, modules / index.name, gid)
    (target / "version").write_text(f"{version}\n")


def _copy(source: Path, target: Path, gid: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(source, os.O_RDONLY | os.O_NOFOLLOW), "rb") as reader, target.open("wb") as writer:
        shutil.copyfileobj(reader, writer)
    os.chown(target, 0, gid)
    target.chmod(0o640)
