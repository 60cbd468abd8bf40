"""Names of what this installation makes on a host: derived, never a person's text, at most 15 characters (IFNAMSIZ). Pure."""

import re

from networks.fabric.base import FabricError

_PARTS = re.compile(r"ow([0-9a-f]{4})([0-9a-f]{8})([bt])", re.ASCII)


def bridge_name(installation: str, tag: str) -> str:
    """`ow`, the installation's 4 hex digits, the network's 8, `b`."""
    return _checked(f"ow{installation}{tag}b")


def tap_name(installation: str, tag: str) -> str:
    """`ow`, the installation's 4 hex digits, the NIC's 8, `t`."""
    return _checked(f"ow{installation}{tag}t")


def is_bridge(name: str, installation: str) -> bool:
    """Whether a link of this name would be a bridge of the installation."""
    return _is(name, installation, "b")


def is_tap(name: str, installation: str) -> bool:
    """Whether a link of this name would be a tap of the installation."""
    return _is(name, installation, "t")


def tag_of(name: str) -> str:
    """The tag in a name of ours; "" in any other."""
    match = _PARTS.fullmatch(name)
    return match[2] if match else ""


def _is(name: str, installation: str, letter: str) -> bool:
    match = _PARTS.fullmatch(name)
    return match is not None and (match[1], match[3]) == (installation, letter)


def _checked(name: str) -> str:
    if not _PARTS.fullmatch(name):
        raise FabricError("bad_network", f"{name[:40]!r} is no name of a link of ours.")
    return name
