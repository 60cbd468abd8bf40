"""What the host must have before a part starts: QEMU's version, directories with their owners and modes, the secret key. Called by `up`."""

import os
import platform
import re
import secrets
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from opsweb.launch.accounts import Account
from opsweb.launch.errors import LaunchError
from opsweb.launch.panel import RUN_MARK, Panel, recall, render, run_dir_of

QEMU = "qemu-system-x86_64"
OLDEST_QEMU = (7, 1)


@dataclass(frozen=True)
class Directory:
    """A directory, who owns it (`root` stands for the worker's user) and its mode; its group is always `opsweb`."""

    path: Path
    owner: str
    mode: int


def directories(panel: Panel) -> tuple[Directory, ...]:
    """Every fixed directory. What the unprivileged parts write lies in directories of its own, so that they can replace nothing else."""
    state, run = panel.state, panel.run
    return (
        Directory(state, "root", 0o755),
        Directory(panel.log, "root", 0o2750),
        Directory(state / "kernel", "root", 0o2750),
        Directory(state / "base", "root", 0o2750),
        Directory(state / "images", "root", 0o2750),
        Directory(state / "vm", "root", 0o2750),
        # Root's worker and the web process write one SQLite database: its -wal and -shm come and go beside it.
        Directory(state / "db", "root", 0o2770),
        Directory(state / "uploads", "opsweb", 0o2750),
        Directory(state / "redis", "opsweb", 0o2750),
        Directory(run, "root", 0o755),
        Directory(run / "vm", "root", 0o2750),
        Directory(run / "locks", "root", 0o2750),
        Directory(run / "redis", "opsweb", 0o2750),
        Directory(run / "beat", "opsweb", 0o2750),
    )


def make_directories(panel: Panel, parts: Account, worker: Account) -> None:
    """Make or mend all of `directories()`; the redis socket also gets its settled name in the run directory. Raises: LaunchError."""
    _refuse_foreign(panel)
    for directory in directories(panel):
        owner = worker if directory.owner == "root" else parts
        directory.path.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(directory.path, owner.uid, parts.gid)
        directory.path.chmod(directory.mode)
    _claim(panel)
    _adopt(panel.state / "db", parts)
    link = panel.run / "redis.sock"
    if not link.is_symlink():
        link.symlink_to("redis/redis.sock")


def _refuse_foreign(panel: Panel) -> None:
    """`make clean-host` removes both directories: they must never have been somebody else's."""
    if panel.state.is_dir() and not panel.remembered.exists() and any(panel.state.iterdir()):
        raise LaunchError(
            "foreign_state", f"{panel.state} holds something that is not opsweb's: give OPSWEB_STATE_DIR a directory of its own."
        )

    known = run_dir_of(panel.run) or recall(panel.remembered).get("OPSWEB_RUN_DIR") == str(panel.run)
    if not known and panel.run.is_dir() and any(panel.run.iterdir()):
        raise LaunchError("foreign_run", f"{panel.run} holds something that is not opsweb's: give OPSWEB_RUN_DIR a directory of its own.")


def _claim(panel: Panel) -> None:
    """From here on the directories are known to be ours, also when a later step fails."""
    write(panel.run / RUN_MARK, f"{panel.state}\n", mode=0o644)
    if not panel.remembered.exists():
        named = {"OPSWEB_STATE_DIR": str(panel.state), "OPSWEB_RUN_DIR": str(panel.run)}
        write(panel.remembered, render(named), mode=0o600)


def _adopt(database: Path, parts: Account) -> None:
    """A restored backup belongs to whoever copied it; SQLite gives -wal and -shm the database's owner and mode."""
    if os.geteuid() != 0:
        return
    for path in database.iterdir():
        # The unprivileged user may write here: no link of theirs leads root elsewhere.
        try:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        found = os.fstat(file)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            os.fchown(file, parts.uid, parts.gid)
            os.fchmod(file, 0o660)
        os.close(file)


def make_secret_key(panel: Panel, parts: Account) -> None:
    """Write `<state>/secret_key` once, unless the caller brings a key. Raises: LaunchError."""
    brought = panel.given.get("SECRET_KEY_FILE")
    if brought and not Path(brought).is_file():
        raise LaunchError("bad_setting", f"SECRET_KEY_FILE names {brought}, which is no file.")
    path = panel.state / "secret_key"
    if path.exists() or "SECRET_KEY" in panel.given or "SECRET_KEY_FILE" in panel.given:
        return
    write(path, secrets.token_urlsafe(48) + "\n", mode=0o640, gid=parts.gid)


def write(path: Path, text: str, *, mode: int, gid: int | None = None) -> None:
    """Replace `path` by a new file of that mode, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "w") as file:
        if gid is not None and os.geteuid() == 0:
            os.fchown(file.fileno(), 0, gid)
        os.fchmod(file.fileno(), mode)
        file.write(text)
    new.replace(path)


def qemu_version(text: str) -> tuple[int, int] | None:
    """`(7, 2)` from the first line of `qemu-system-x86_64 --version`."""
    found = re.search(r"version (\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def check_qemu() -> None:
    """Raises: LaunchError("qemu") for a machine or a QEMU that can't run the guests."""
    if platform.machine() != "x86_64":
        raise LaunchError(
            "machine", f"opsweb runs guests on x86-64 hosts only so far, this is {platform.machine()}. OPSWEB_DRIVER=fake shows the panel."
        )
    path = shutil.which(QEMU)
    if path is None:
        raise LaunchError("qemu", f"{QEMU} is not installed.")
    text = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
    version = qemu_version(text)
    if version is None or version < OLDEST_QEMU:
        shown = text.splitlines()[0] if text else "says nothing"
        raise LaunchError("qemu", f"QEMU 7.1 or newer is needed (Debian 12 has 7.2); {path} {shown}.")
