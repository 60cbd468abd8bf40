"""Runs the panel's own management commands (`manage.py …`) the way its parts run: their environment, their user. Called by `commands`."""

import json
import pwd
import subprocess
from typing import Any

from opsweb.launch.accounts import Account, drop
from opsweb.launch.errors import LaunchError
from opsweb.launch.panel import Panel
from opsweb.launch.placing import Placed


def run(panel: Panel, placed: Placed, account: Account | None, *argv: str, seconds: float = 300) -> str:
    """The output of `manage.py <argv>` as `account` (None: as the caller). Raises: LaunchError with the command's own words."""
    command = [str(placed.python), "manage.py", *argv]
    # fmt: off
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, cwd=placed.code, env=panel.environment, text=True, stdin=subprocess.DEVNULL, capture_output=True,
        timeout=seconds, umask=0o007, **drop(account))
    # fmt: on
    if done.returncode != 0:
        raise LaunchError("manage", f"manage.py {argv[0]} failed:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def first_start(panel: Panel, placed: Placed, account: Account | None, *, token: bool) -> dict[str, Any]:
    """Make what a first start makes, if it is not there: {"admin", "password" (while unused), "token" (a new one, when asked for)}."""
    words = ["ensure_first_start", *(["--token"] if token else [])]
    answer = json.loads(run(panel, placed, account, *words).strip().splitlines()[-1])
    if not isinstance(answer, dict):
        raise LaunchError("manage", "manage.py ensure_first_start did not print a JSON object.")
    return answer


def root() -> Account:
    """Root, for the one command that takes the host's side away."""
    entry = pwd.getpwuid(0)
    return Account(entry.pw_name, 0, 0, entry.pw_dir)
