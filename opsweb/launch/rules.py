"""What each setting may be, so that one with a typo is refused before anything is stopped or remembered. Called by `panel`.

The parts read the same values with opsweb/environment.py, which needs an environment that is not there yet.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import ip_address
from urllib.parse import urlsplit

from opsweb.launch.errors import LaunchError

SHORTEST_KEY = 32  # characters; Django's own check wants 50, a guessable one forges sessions


def check(given: Mapping[str, str]) -> None:
    """Raises: LaunchError("bad_setting") with the setting, what it may be, and what it is."""
    for name, (fits, meaning) in RULES.items():
        value = given.get(name)
        if value is not None and not fits(value):
            shown = "" if "KEY" in name or "_URL" in name else f", not {value!r}"  # these may hold a secret
            raise LaunchError("bad_setting", f"{name} is {meaning}{shown}.")


def _whole(lowest: int, highest: int) -> tuple[Callable[[str], bool], str]:
    return partial(_is_whole, lowest, highest), f"a whole number from {lowest} to {highest}"


def _is_whole(lowest: int, highest: int, value: str) -> bool:
    return value.isascii() and value.isdecimal() and len(value) <= 12 and lowest <= int(value) <= highest


def _one_of(*words: str) -> tuple[Callable[[str], bool], str]:
    return words.__contains__, f"{', '.join(words[:-1])} or {words[-1]}"


def _is_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True


def _is_ports(value: str) -> bool:
    return all(_is_whole(1, 65_535, port) for port in value.replace(",", " ").split())


def _has_scheme(schemes: tuple[str, ...], value: str) -> bool:
    return value.partition("://")[0] in schemes and "://" in value


def _is_page(value: str) -> bool:
    try:
        parts = urlsplit(value)
        plain = not (parts.path.strip("/") or parts.query or parts.fragment or parts.username)
        return plain and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_name(value: str) -> bool:
    return re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", value) is not None


RULES: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "OPSWEB_DRIVER": _one_of("real", "fake"),
    "OPSWEB_HOST": (_is_name, "a name of a-z, 0-9 and -"),
    "OPSWEB_PORT": _whole(1, 65_535),
    "OPSWEB_BIND": (_is_address, "an IP address to listen on, such as 127.0.0.1"),
    "OPSWEB_URL": (_is_page, "an address such as https://panel.example, without a path"),
    "OPSWEB_ACCEL": _one_of("auto", "kvm", "tcg"),
    "OPSWEB_UID_BASE": _whole(1000, 2**31),
    "OPSWEB_UID_COUNT": _whole(16, 65_536),
    "OPSWEB_SWEEP_SECONDS": _whole(1, 3600),
    "OPSWEB_GUEST_HOST_PORTS": (_is_ports, "a list of ports such as 5432,8125"),
    "OPSWEB_CONSOLE_KEEP_BYTES": _whole(65_536, 2**36),
    "OPSWEB_AUDIT_DAYS": _whole(0, 36_500),
    "OPSWEB_DEBUG": _one_of("0", "1"),
    "DATABASE_URL": (partial(_has_scheme, ("sqlite", "postgres", "postgresql")), "sqlite:///… or postgres://…"),
    "REDIS_URL": (partial(_has_scheme, ("unix", "redis", "rediss")), "unix://… or rediss://…"),
    "SECRET_KEY": (lambda value: len(value) >= SHORTEST_KEY, f"at least {SHORTEST_KEY} characters long"),
}
