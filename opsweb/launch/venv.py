"""The virtual environment `.venv` from /usr/bin/python3 by the lock files. Called by `make up` and `make develop`."""

import hashlib
import os
import sys
from pathlib import Path

from opsweb.launch.accounts import Account, owner, run_as
from opsweb.launch.errors import LaunchError

PYTHON = "/usr/bin/python3"
PANEL_LOCK = "requirements.lock"
TESTS_LOCK = "tests/requirements.lock"
COMMAND = """#!{python}
import sys

from opsweb.cli.main import main

sys.exit(main())
"""


def directory(clone: Path) -> Path:
    """Where the environment lies."""
    return clone / ".venv"


def python(clone: Path) -> Path:
    """Its interpreter."""
    return directory(clone) / "bin" / "python"


def site_packages(venv: Path) -> Path:
    """Where its packages lie."""
    return venv / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"


def ensure(clone: Path, locks: tuple[str, ...] = (PANEL_LOCK,)) -> bool:
    """Install what the locks say, hashes checked; False when nothing was to do. Raises: LaunchError."""
    _check_python()
    made = False
    for lock in locks:
        made = _ensure_lock(clone, lock) or made
    return made


def _check_python() -> None:
    if sys.version_info[:2] != (3, 11):
        found = ".".join(map(str, sys.version_info[:2]))
        raise LaunchError("python", f"opsweb is locked to Python 3.11 (Debian 12's); {PYTHON} is {found}.")


def _ensure_lock(clone: Path, lock: str) -> bool:
    stamp = directory(clone) / f".{lock.replace('/', '-')}.sha256"
    wanted = hashlib.sha256((clone / lock).read_bytes() + str(clone).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return False
    account = owner(clone)
    if not python(clone).exists():
        _step(account, clone, [PYTHON, "-m", "venv", str(directory(clone))])
    # The lock is whole, so nothing is left to resolve; wheels only, so nothing is built.
    pip = [str(python(clone)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    _step(account, clone, [*pip, "--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", lock])
    _add_ourselves(account, clone)
    _write_as(account, stamp, wanted)
    return True


def _step(account: Account, clone: Path, argv: list[str]) -> None:
    done = run_as(account, argv, cwd=clone, env={**os.environ, "HOME": _home(account)})
    if done.returncode != 0:
        raise LaunchError("environment", f"{' '.join(argv[:4])} … failed:\n{done.stdout[-2000:]}")


def _home(account: Account) -> str:
    return account.home if os.geteuid() == 0 and account.uid != 0 else os.environ.get("HOME", "/root")


def _add_ourselves(account: Account, clone: Path) -> None:
    """The project on the environment's path, and the command `opsweb`; a build would need setuptools newer than Debian's."""
    _write_as(account, site_packages(directory(clone)) / "opsweb.pth", f"{clone}\n")
    command = directory(clone) / "bin" / "opsweb"
    _write_as(account, command, COMMAND.format(python=python(clone)))
    command.chmod(0o755)


def _write_as(account: Account, path: Path, text: str) -> None:
    path.write_text(text)
    if os.geteuid() == 0:
        os.chown(path, account.uid, account.gid)
