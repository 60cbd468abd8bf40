"""Who listens where on this host, asked of the kernel by the fabric driver (sock_diag(7)).

Not read from /proc/net/tcp: for that the kernel walks its whole table of connections, of all network namespaces, milliseconds each time.
"""

import errno
import os
import re
import socket
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from networks.fabric import dump
from networks.fabric.base import NOBODY, Endpoint, FabricError

_NETLINK_SOCK_DIAG, _BY_FAMILY = 4, 20  # linux/netlink.h, linux/sock_diag.h
_LISTENING, _ANY_STATE = 1 << 10, 0xFFF  # include/net/tcp_states.h; a UDP socket takes what comes as soon as it is bound
_PROTOCOLS = {"tcp": (socket.IPPROTO_TCP, _LISTENING), "udp": (socket.IPPROTO_UDP, _ANY_STATE)}
_REQUEST = struct.Struct("=IHHII BBBxI 48x")  # nlmsghdr, inet_diag_req_v2 (linux/inet_diag.h) with no socket named
_ANSWER = struct.Struct("=IHHII Bxxx 2s2x16s16x12x 12xII")  # nlmsghdr, inet_diag_msg
_ONLY_V6 = 11  # INET_DIAG_SKV6ONLY
_ANY_V4, _ANY_V6 = IPv4Address(0), IPv6Address(0)
_SOCKET = re.compile(r"socket:\[([0-9]+)\]", re.ASCII)


@dataclass(frozen=True)
class Listener:
    """One socket that takes what comes to a port: a TCP listener or a bound UDP socket."""

    protocol: str
    address: IPv4Address | IPv6Address
    port: int
    inode: int
    uid: int
    only_v6: bool = False

    def covers(self, endpoint: Endpoint) -> bool:
        """Whether nobody else may bind `endpoint` beside it."""
        if (self.protocol, self.port) != (endpoint.protocol, endpoint.port) or self.only_v6:
            return False
        wanted = IPv4Address(endpoint.address)
        return self.address in (wanted, _ANY_V4, _ANY_V6) or (wanted == _ANY_V4 and self.address.version == 4)


def taken(endpoints: Iterable[Endpoint], ours: range = NOBODY) -> dict[Endpoint, str]:
    """Those of `endpoints` that someone listens on who is not of the uids `ours`, with a word who; root can name everybody.

    Raises: FabricError("unsupported") where the kernel does not say who listens.
    """
    found: dict[Endpoint, int] = {}
    by_port: dict[tuple[str, int], list[Listener]] = defaultdict(list)
    for listener in listeners():
        by_port[listener.protocol, listener.port].append(listener)
    for endpoint in endpoints:
        holders = [listener for listener in by_port.get((endpoint.protocol, endpoint.port), ()) if listener.covers(endpoint)]
        if holders and not any(holder.uid in ours for holder in holders):
            found[endpoint] = holders[0].inode
    owners = _owners(set(found.values())) if found else {}
    return {endpoint: owners.get(inode, "another process") for endpoint, inode in found.items()}


def can_be_listened_on(address: str) -> bool:
    """Whether the host has this IPv4 address; tried for a moment, on a port of the kernel's choice."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            return error.errno != errno.EADDRNOTAVAIL
    return True


def listeners() -> Iterator[Listener]:
    """All of this network namespace."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(dump.SECONDS)
        for protocol, (number, states) in _PROTOCOLS.items():
            for family in (socket.AF_INET, socket.AF_INET6):
                netlink.send(_REQUEST.pack(_REQUEST.size, _BY_FAMILY, dump.REQUEST, 1, 0, family, number, 0, states))
                for message in _messages(netlink):
                    yield _listener(protocol, message)


def _messages(netlink: socket.socket) -> list[bytes]:
    """The answers to one request. Who comes or goes meanwhile may be among them or not."""
    try:
        return dump.answer(netlink)[0]
    except dump.Refused as refused:
        reason = os.strerror(refused.number)
        message = f"The kernel does not say who listens ({reason}). Load its modules tcp_diag and udp_diag."
        raise FabricError("unsupported", message) from None


def _listener(protocol: str, message: bytes) -> Listener:
    *_, family, port, raw, uid, inode = _ANSWER.unpack_from(message)
    only_v6 = struct.pack("=HHB", 5, _ONLY_V6, 1) in message[_ANSWER.size :]
    return Listener(protocol, _address(family, raw), int.from_bytes(port, "big"), inode, uid, only_v6)


def _address(family: int, raw: bytes) -> IPv4Address | IPv6Address:
    if family == socket.AF_INET:
        return IPv4Address(raw[:4])
    address = IPv6Address(raw)
    return address.ipv4_mapped or address


def _owners(inodes: set[int]) -> dict[int, str]:
    """Which process holds each socket, e.g. "sshd (pid 412)", as far as this user may look."""
    owners: dict[int, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        for inode in _sockets(process) & inodes - owners.keys():
            owners[inode] = f"{_command(process)} (pid {process.name})"
        if owners.keys() == inodes:
            break
    return owners


def _sockets(process: Path) -> set[int]:
    found = set()
    try:
        for entry in (process / "fd").iterdir():
            match = _SOCKET.fullmatch(str(entry.readlink()))
            if match:
                found.add(int(match[1]))
    except OSError:
        pass  # it ended, closed a descriptor, or belongs to somebody else
    return found


def _command(process: Path) -> str:
    try:
        name = (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return "a process that just ended"
    return "".join(char for char in name if char.isprintable()) or "a process"
