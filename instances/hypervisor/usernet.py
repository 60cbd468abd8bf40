"""Port forwards of a running user-mode NIC, as QEMU's human monitor speaks of them: pure text, for `qemu`. (QMP has no such commands.)"""

import re

from .base import Forward

_ROW = re.compile(
    r"\s*(?P<protocol>TCP|UDP)\[HOST_FORWARD\]\s+\d+\s+(?P<address>[0-9.*]+)\s+(?P<port>\d+)\s+[0-9.]+\s+(?P<guest>\d+)\s+\d+\s+\d+\s*"
)
_HEAD = re.compile(r"Hub -?\d+ \((?P<netdev>[^)]*)\):")


def forwards(info: str, netdev: str) -> set[Forward]:
    """The forwards of `netdev` in what `info usernet` printed."""
    found: set[Forward] = set()
    ours = False
    for line in info.splitlines():
        head = _HEAD.match(line)
        row = _ROW.fullmatch(line)
        if head:
            ours = head["netdev"] == netdev
        elif row and ours:
            address = "0.0.0.0" if row["address"] == "*" else row["address"]  # noqa: S104 (what QEMU prints for every address)
            found.add(Forward(row["protocol"].lower(), address, int(row["port"]), int(row["guest"])))
    return found
