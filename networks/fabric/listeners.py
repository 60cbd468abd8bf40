"""Who listens where on this host, read from /proc by the fabric driver (proc(5): /proc/net/tcp, udp, their IPv6 twins)."""

import errno
import itertools
import re
import socket
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from networks.fabric.base import NOBODY, Endpoint

_TCP_LISTEN = "0A"  # include/net/tcp_states.h
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

    def covers(self, endpoint: Endpoint) -> bool:
        """Whether nobody else may bind `endpoint` beside it. Of "::" this is a maybe: the socket may be for IPv6 only."""
        if (self.protocol, self.port) != (endpoint.protocol, endpoint.port):
            return False
        wanted = IPv4Address(endpoint.address)
        return self.address in (wanted, _ANY_V4, _ANY_V6) or (wanted == _ANY_V4 and self.address.version == 4)


def taken(endpoints: Iterable[Endpoint], ours: range = NOBODY) -> dict[Endpoint, str]:
    """Those of `endpoints` that someone listens on who is not of the uids `ours`, with a word who; root can name everybody."""
    found: dict[Endpoint, int] = {}
    by_port: dict[tuple[str, int], list[Listener]] = defaultdict(list)
    for listener in itertools.chain(_listeners("tcp"), _listeners("udp")):
        by_port[listener.protocol, listener.port].append(listener)
    for endpoint in endpoints:
        holders = [listener for listener in by_port.get((endpoint.protocol, endpoint.port), ()) if listener.covers(endpoint)]
        if holders and _is_taken(endpoint, holders, ours):
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


def _is_taken(endpoint: Endpoint, holders: list[Listener], ours: range) -> bool:
    certain = [holder for holder in holders if holder.address != _ANY_V6]
    if certain:
        return not any(holder.uid in ours for holder in certain)
    return not _binds(endpoint)


def parse(protocol: str, lines: Iterable[str]) -> Iterator[Listener]:
    """The listeners in the lines of one of the kernel's four tables, heading included."""
    for line in itertools.islice(lines, 1, None):
        fields = line.split()
        if protocol == "tcp" and fields[3] != _TCP_LISTEN:
            return  # listeners come first, then every connection of the host
        address, _, port = fields[1].partition(":")
        yield Listener(protocol, _address(address), int(port, 16), int(fields[9]), int(fields[7]))


def _listeners(protocol: str) -> Iterator[Listener]:
    for name in (protocol, f"{protocol}6"):
        path = Path("/proc/net", name)
        with suppress(FileNotFoundError), path.open() as lines:  # no IPv6 in this kernel: no table
            yield from parse(protocol, lines)


def _address(text: str) -> IPv4Address | IPv6Address:
    # The kernel prints each 32-bit word as a number of this machine; the word itself is in network order.
    raw = b"".join(int(text[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(text), 8))
    if len(raw) == 4:
        return IPv4Address(raw)
    address = IPv6Address(raw)
    return address.ipv4_mapped or address


def _binds(endpoint: Endpoint) -> bool:
    """Try it, for a moment: the only way to tell an IPv6-only "::" from one that takes IPv4 too."""
    kind = socket.SOCK_STREAM if endpoint.protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind((endpoint.address, endpoint.port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True


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
