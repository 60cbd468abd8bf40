"""Where the parts' code lies: the clone, or root's copy of it when the user `opsweb` can't read or could write it. Called by `up`."""

import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from opsweb.launch import venv
from opsweb.launch.accounts import Account, call_as, owner, run_as
from opsweb.launch.errors import LaunchError
from opsweb.launch.panel import COMMAND_PATH

# All that a running panel reads of the clone.
ROOMS = ("manage.py", "pyproject.toml", "CHANGELOG.md", "LICENSE", "opsweb", "instances", "networks", "templates", "static")


@dataclass(frozen=True)
class Placed:
    """The code and the interpreter that the parts run."""

    code: Path
    python: Path
    reason: str = ""  # why it is a copy; "" when it is the clone itself


def fingerprint(clone: Path) -> str:
    """Changes whenever a file that a running panel reads does."""
    digest = hashlib.sha256((clone / venv.PANEL_LOCK).read_bytes())
    for path in sorted(code_files(clone)):
        found = path.stat()
        digest.update(f"{path.relative_to(clone)} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def code_files(clone: Path) -> Iterator[Path]:
    """Every file of ROOMS, compiled ones left out."""
    for room in ROOMS:
        path = clone / room
        found = path.rglob("*") if path.is_dir() else (path,)
        yield from (file for file in found if file.is_file() and "__pycache__" not in file.parts)


def compile_code(clone: Path) -> None:
    """As the clone's owner: the parts may not write beside the code, and would parse it anew at each start."""
    rooms = [room for room in ROOMS if (clone / room).is_dir() and room not in ("templates", "static")]
    env = {"PATH": COMMAND_PATH, "HOME": "/nonexistent"}
    run_as(owner(clone), [str(venv.python(clone)), "-m", "compileall", "-q", *rooms], cwd=clone, env=env)


def place(clone: Path, state: Path, parts: Account | None, mark: str) -> Placed:
    """The clone itself where `parts` can read and not write it (None: the caller runs everything); else a fresh copy of it."""
    here = Placed(clone, venv.python(clone))
    if parts is None:
        return here
    reason = call_as(parts, lambda: unfit(clone))
    return _copy(clone, state, mark, reason) if reason else here


def unfit(clone: Path) -> str:
    """Why the user who runs this can't run the panel from `clone`, "" when all is well."""
    for path in (clone, *clone.parents):
        if not os.access(path, os.X_OK):
            return f"the user opsweb can't enter {path}"
        if os.access(path, os.W_OK) and not (path != clone and path.stat().st_mode & stat.S_ISVTX):
            return f"the user opsweb could write {path}"
    return next((reason for path in _judged(clone) if (reason := _access(path))), "")


def _judged(clone: Path) -> Iterator[Path]:
    packages = venv.site_packages(venv.directory(clone))
    yield from (
        venv.directory(clone),
        packages,
        packages / "django",
        packages / "django/__init__.py",
        clone / "opsweb",
        clone / "instances",
    )
    yield from code_files(clone)


def _access(path: Path) -> str:
    if not os.access(path, os.R_OK):
        return f"the user opsweb can't read {path}"
    return f"the user opsweb could write {path}" if os.access(path, os.W_OK) else ""


def _copy(clone: Path, state: Path, mark: str, reason: str) -> Placed:
    placed = Placed(state / "code", state / "venv" / "bin" / "python", reason)
    stamp = state / "code" / ".fingerprint"
    if stamp.exists() and stamp.read_text() == mark:
        return placed
    _copy_environment(clone, state, placed)
    new = state / "code.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o755)
    for room in ROOMS:
        source = clone / room
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, new / room)
    (new / ".fingerprint").write_text(mark)
    _swap(new, placed.code)
    _open_to_readers(placed.code)
    return placed


def _copy_environment(clone: Path, state: Path, placed: Placed) -> None:
    """An environment of its own with the clone's packages; programs in it are called as modules, so no path inside is wrong."""
    source = venv.site_packages(venv.directory(clone))
    lock = (clone / venv.PANEL_LOCK).read_bytes()
    target, stamp = state / "venv", state / "venv" / ".lock"
    if stamp.exists() and stamp.read_bytes() == lock:
        return
    shutil.rmtree(target, ignore_errors=True)
    done = subprocess.run([venv.PYTHON, "-m", "venv", "--without-pip", str(target)], capture_output=True, text=True)
    if done.returncode != 0:
        raise LaunchError("environment", f"{target} could not be made: {done.stderr}")
    shutil.copytree(source, venv.site_packages(target), dirs_exist_ok=True, symlinks=True)
    (venv.site_packages(target) / "opsweb.pth").write_text(f"{placed.code}\n")
    stamp.write_bytes(lock)
    _open_to_readers(target)


def _swap(new: Path, current: Path) -> None:
    """A running panel keeps its open files; it is restarted right after."""
    shutil.rmtree(current, ignore_errors=True)
    new.rename(current)


def _open_to_readers(tree: Path) -> None:
    """Root's, readable to everybody, whatever the clone's modes and root's umask are."""
    for path in (tree, *tree.rglob("*")):
        if path.is_symlink():
            continue
        os.chown(path, 0, 0)
        path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
