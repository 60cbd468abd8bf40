"""Hears of changes to this installation's bridges and taps: a small face on rtnetlink(7). Used by watch.watcher.

Any user may listen. What is heard is a hint and no more: which link, never what became of it.
"""

import asyncio
import errno
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress

from networks.fabric.names import is_bridge, is_tap

GROUPS = 0x1 | 0x10 | 0x100  # RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
NEW_LINK, DEL_LINK, NEW_ADDRESS, DEL_ADDRESS = 16, 17, 20, 21
IFLA_IFNAME = 3
READ_BYTES = 64 * 1024
QUEUE_BYTES = 1024 * 1024
_MESSAGE = struct.Struct("=IHHII")  # length with this header, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, changed flags
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ATTRIBUTE = struct.Struct("=HH")  # length with this header, type


class Links:
    """Calls back with the name of a link of ours when something about it changes."""

    def __init__(self, installation: str, changed: Callable[[str], None]) -> None:
        self._installation, self._changed = installation, changed
        self._names: dict[int, str] = {}
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE_BYTES)
        self._socket.bind((0, GROUPS))
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def close(self) -> None:
        """Stop listening."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except OSError as error:
            if error.errno not in (errno.ENOBUFS, errno.EAGAIN):  # more than we could take was lost: the sweep sees it
                raise
            return
        for name in {self._name(number, known) for number, known in events(data)}:
            if is_bridge(name, self._installation) or is_tap(name, self._installation):
                self._changed(name)

    def _name(self, number: int, known: str) -> str:
        """A link that is gone has no name any more but in the message; an address's message has none."""
        if known:
            self._names[number] = known
        elif number not in self._names:
            with suppress(OSError):
                self._names[number] = socket.if_indextoname(number)
        return self._names.get(number, "")


def events(data: bytes) -> Iterator[tuple[int, str]]:
    """(index, name or "") of the links that one datagram tells of."""
    at = 0
    while at + _MESSAGE.size <= len(data):
        length, kind, *_ = _MESSAGE.unpack_from(data, at)
        if length < _MESSAGE.size or at + length > len(data):
            return
        body = data[at + _MESSAGE.size : at + length]
        if kind in (NEW_LINK, DEL_LINK) and len(body) >= _LINK.size:
            yield _LINK.unpack_from(body)[2], _link_name(body[_LINK.size :])
        elif kind in (NEW_ADDRESS, DEL_ADDRESS) and len(body) >= _ADDRESS.size:
            yield _ADDRESS.unpack_from(body)[4], ""
        at += _aligned(length)


def _link_name(attributes: bytes) -> str:
    at = 0
    while at + _ATTRIBUTE.size <= len(attributes):
        length, kind = _ATTRIBUTE.unpack_from(attributes, at)
        if length < _ATTRIBUTE.size:
            break
        if kind == IFLA_IFNAME:
            return attributes[at + _ATTRIBUTE.size : at + length].partition(b"\0")[0].decode("ascii", "replace")
        at += _aligned(length)
    return ""


def _aligned(length: int) -> int:
    return (length + 3) & ~3
