"""The unprivileged user `opsweb`, and how a step runs as somebody else than root. Called by opsweb.launch only."""

import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opsweb.launch.errors import LaunchError

NAME = "opsweb"
# In the password file's comment field: tells `make clean-host` that the user is ours to remove.
MARK = "opsweb panel"


@dataclass(frozen=True)
class Account:
    """A user that a step or a part runs as."""

    name: str
    uid: int
    gid: int
    home: str


def of_uid(uid: int, gid: int) -> Account:
    """The account of `uid`; one without an entry in the password file has no home."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Account(str(uid), uid, gid, "/nonexistent")
    return Account(entry.pw_name, uid, entry.pw_gid, entry.pw_dir)


def caller(environ: Mapping[str, str]) -> Account:
    """Who typed `make`: behind sudo the one before it. Their home is `HOME`, unless sudo came between."""
    behind_sudo = os.geteuid() == 0 and environ.get("SUDO_UID", "").isdecimal()
    uid = int(environ["SUDO_UID"]) if behind_sudo else os.geteuid()
    account = of_uid(uid, os.getegid())
    if behind_sudo or not environ.get("HOME"):
        return account
    return Account(account.name, account.uid, account.gid, environ["HOME"])


def owner(path: Path) -> Account:
    """Who owns `path`; steps that write into a clone run as its owner, never as root in a user's files."""
    found = path.stat()
    return of_uid(found.st_uid, found.st_gid)


def existing() -> Account | None:
    """The user `opsweb`, if there is one."""
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        return None
    return Account(NAME, entry.pw_uid, entry.pw_gid, entry.pw_dir)


def ensure() -> Account:
    """Make the system user and group `opsweb` (no shell, no home) unless they are there. Raises: LaunchError."""
    if found := existing():
        return found
    # fmt: off
    argv = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
            "--shell", "/usr/sbin/nologin", "--comment", MARK, NAME]
    # fmt: on
    done = subprocess.run(argv, capture_output=True, text=True)
    made = existing()
    if made is None:
        raise LaunchError("no_user", f"The system user {NAME} could not be made: {done.stderr.strip()}")
    return made


def remove() -> str:
    """Take the user and its group away again if `make up` made them; a sentence says what was done, "" for nothing."""
    try:
        ours = pwd.getpwnam(NAME).pw_gecos.split(",")[0] == MARK
    except KeyError:
        return ""
    if not ours:
        return f"The user {NAME} was not made by opsweb and stays."
    done = subprocess.run(["userdel", NAME], capture_output=True, text=True)
    return f"Removed the user {NAME}." if done.returncode == 0 else f"The user {NAME} stays: {done.stderr.strip()}"


def drop(account: Account | None) -> dict[str, Any]:
    """What makes subprocess run a command as `account`; nothing when the caller is not root, or when root is meant."""
    if account is None or os.geteuid() != 0 or account.uid == 0:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def run_as(account: Account, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run `argv` as `account` (when root asks; else as the caller), output and errors captured together."""
    # fmt: off
    done: subprocess.CompletedProcess[str] = subprocess.run(
        argv, cwd=cwd, env=dict(env), text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        umask=0o022, **drop(account))
    # fmt: on
    return done


def call_as(account: Account, function: Callable[[], str]) -> str:
    """What `function` returns in a child that is `account` for good; the clone need not be readable to it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _finish_child(account, function, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise LaunchError("as_user", f"As the user {account.name}: {text or 'the step failed'}.")
    return text


def _finish_child(account: Account, function: Callable[[], str], writer: int) -> None:
    status = 1
    try:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(account.gid, account.gid, account.gid)
            os.setresuid(account.uid, account.uid, account.uid)
        os.write(writer, function().encode())
        status = 0
    except OSError as error:
        os.write(writer, str(error).encode())
    finally:
        sys.stdout.flush()
        os._exit(status)
