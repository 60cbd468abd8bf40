"""Writes `~/.config/opsweb/cli.toml` for the one who ran `make up`, so that the command `opsweb` works at once."""

import json
import os
import tomllib
from pathlib import Path

from opsweb.launch.accounts import Account, call_as


def path(account: Account) -> Path:
    """Where the command line looks for it."""
    return Path(account.home) / ".config" / "opsweb" / "cli.toml"


def text(url: str, token: str) -> str:
    """The file. A JSON string is a TOML string."""
    return f"url = {json.dumps(url)}\ntoken = {json.dumps(token)}\n"


def url_of(account: Account) -> str:
    """The panel that the file names; "" when there is no file, or none that can be read."""
    return call_as(account, lambda: _url(path(account)))


def _url(file: Path) -> str:
    try:
        return str(tomllib.loads(file.read_text()).get("url", "")).rstrip("/")
    except FileNotFoundError:
        return ""
    except tomllib.TOMLDecodeError:
        return "a file that is not TOML"


def write(account: Account, url: str, token: str) -> None:
    """Write it, 0600, as its owner: root follows no link in a user's directory."""
    call_as(account, lambda: _write(path(account), text(url, token)))


def remove(account: Account, url: str) -> bool:
    """Take it away again if it names this panel."""
    if url_of(account) != url:
        return False
    call_as(account, lambda: _remove(path(account)))
    return True


def _remove(file: Path) -> str:
    file.unlink()
    return ""


def _write(file: Path, content: str) -> str:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = file.with_name("cli.toml.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as target:
        target.write(content)
    new.replace(file)
    return ""
