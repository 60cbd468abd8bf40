"""Writes the driver's files whole or not at all, with the owner they are for."""

import os
import stat
from contextlib import suppress
from pathlib import Path

_MOST = 8 * 2**20  # bytes


def write(path: Path, text: str, *, mode: int = 0o600, uid: int = -1, gid: int = -1) -> None:
    """Replace `path` by a new file with this text and mode; a crash leaves the old one."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode), "w") as file:
        os.fchown(file.fileno(), uid, gid)
        os.fchmod(file.fileno(), mode)
        file.write(text)
    new.replace(path)


def read(path: Path) -> str | None:
    """The text, or None where there is no such file. Safe in a directory that others may write: no link, no pipe, no endless file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_MOST).decode(errors="replace") if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def make_directory(path: Path, *, uid: int = -1, gid: int = -1, mode: int = 0o750) -> None:
    """Make or mend a directory of that owner and mode; no link is followed."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(descriptor, uid, gid)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)
