"""Where the panel is and with which token: from flags, the environment, or ~/.config/opsweb/cli.toml. Asked once by main."""

import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from opsweb.cli.problems import NotAllowed, Usage

FILE = Path(".config/opsweb/cli.toml")  # below the home directory; `make up` writes it
HINT = "Set OPSWEB_URL and OPSWEB_TOKEN, or write `url` and `token` into ~/.config/opsweb/cli.toml."


@dataclass(frozen=True)
class Credentials:
    """A panel's address, without a slash at the end, and a bearer token."""

    url: str
    token: str = field(repr=False)


def find(url: str, token: str, environ: Mapping[str, str], home: Path, warn: Callable[[str], None]) -> Credentials:
    """Flags win over the environment, the environment over the file. Raises: Usage without an address, NotAllowed without a token."""
    kept = _read(home / FILE, warn)
    url = _checked(url or environ.get("OPSWEB_URL", "") or kept.get("url", ""))
    token = token or environ.get("OPSWEB_TOKEN", "")
    # The file's token belongs to the file's panel: another address never gets it.
    if not token and url == kept.get("url", "").rstrip("/"):
        token = kept.get("token", "")
    if not token:
        raise NotAllowed(f"There is no token for {url}. {HINT}", code="unauthenticated")
    return Credentials(url, token.strip())


def _checked(url: str) -> str:
    url = url.strip().rstrip("/")
    if not url:
        raise Usage(f"The panel's address is not known. {HINT}", code="no_url")
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise Usage(f"“{url}” is no address of a panel; it looks like http://localhost:8000.", code="bad_url")
    return url


def _read(path: Path, warn: Callable[[str], None]) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
        mode = path.stat().st_mode
    except OSError:
        return {}
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        warn(f"Others can read the token in {path}; mend it with `chmod 600 {path}`.")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Usage(f"{path} is not TOML: {error}.", code="bad_file") from error
    return {name: value for name, value in values.items() if isinstance(value, str)}
