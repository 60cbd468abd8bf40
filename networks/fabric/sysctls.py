"""Kernel settings under /proc/sys/net, in the network namespace of the calling process."""

from contextlib import suppress
from pathlib import Path

from networks.fabric.base import FabricError

_ROOT = Path("/proc/sys/net")


def read(name: str) -> str | None:
    """The value of e.g. "ipv4/ip_forward", or None where the kernel has no such setting."""
    with suppress(FileNotFoundError):
        return (_ROOT / name).read_text().strip()
    return None


def write(name: str, value: str) -> None:
    """Set it, unless it is so. Raises: FabricError("link_refused")."""
    if read(name) == value:
        return
    try:
        (_ROOT / name).write_text(value)
    except OSError as error:
        raise FabricError("link_refused", f"The kernel refused to set net/{name} to {value}: {error.strerror}.") from None


def links(family: str) -> list[str]:
    """Names of the links that have settings of their own in "ipv4" or "ipv6"."""
    directory = _ROOT / family / "conf"
    return sorted(path.name for path in directory.iterdir() if path.name not in ("all", "default")) if directory.is_dir() else []
