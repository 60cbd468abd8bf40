"""Reads nf_tables from the kernel itself (linux/netfilter/nf_tables.h): counters, and what two tables hold, in milliseconds for any size.

nft(8) needs a process and prints words; that takes ten times as long for a few hundred NICs. What is changed goes by nft(8) alone.
"""

import errno
import os
import socket
import struct
from collections.abc import Collection, Iterator
from hashlib import sha256
from pathlib import Path

from networks.fabric import dump
from networks.fabric.base import Count, FabricError

INET, BRIDGE = 1, 7  # NFPROTO_*
_NETLINK_NETFILTER, _REQUEST = 12, 1  # linux/netlink.h
_GET_TABLE, _GET_CHAIN, _GET_RULE, _GET_SET, _GET_ELEMENTS, _GET_GENERATION, _GET_OBJECT = 1, 4, 7, 10, 13, 16, 19  # NFT_MSG_GET*
_NEW_GENERATION = 15
_SUBSYSTEM = 10 << 8  # NFNL_SUBSYS_NFTABLES
_TRIES = 20
_TABLE, _NAME = 1, 2  # NFTA_*_TABLE, NFTA_TABLE_NAME; NFTA_{SET,OBJ}_NAME, NFTA_SET_ELEM_LIST_SET
_OBJECT_TYPE, _OBJECT_DATA, _COUNTER, _LIMIT = 3, 4, 1, 4  # NFTA_OBJ_*, NFT_OBJECT_*
_OCTETS, _PACKETS = 1, 2  # NFTA_COUNTER_*
_SET_FLAGS, _FILLED_BY_PACKETS = 3, 0x20  # NFTA_SET_FLAGS, NFT_SET_EVAL
_ELEMENTS = 3  # NFTA_SET_ELEM_LIST_ELEMENTS
_KIND = 0x3FFF  # of an attribute, without its flags
_FAMILY = 4  # bytes of nfgenmsg, at the beginning of each message


def generation() -> tuple[int, int]:
    """This network namespace, and a number that each change of any of its rules raises: cheaper than to look at them."""
    with _opened() as netlink:
        netlink.send(_request(_GET_GENERATION, socket.AF_UNSPEC, _REQUEST))
        answer = netlink.recv(dump.ROOM)
    kind, number = struct.unpack_from("=H", answer, 4)[0], struct.unpack_from("!I", answer, 24)[0]
    is_one = kind == _SUBSYSTEM | _NEW_GENERATION
    return Path("/proc/thread-self/ns/net").stat().st_ino, number if is_one else -1


def counters(tables: Collection[tuple[int, str]]) -> dict[str, Count]:
    """(packets, bytes) of all named counters in `tables`, given as (family, name); a name that two tables have is summed."""
    found: dict[str, Count] = {}
    with _opened() as netlink:
        for family, table in tables:
            for message in _dump(netlink, _GET_OBJECT, family, (_TABLE, _text(table)), (_OBJECT_TYPE, struct.pack("!I", _COUNTER))):
                of = dict(_attributes(message))
                values = dict(_attributes(of[_OBJECT_DATA]))
                name = _words(of[_NAME])
                packets, octets = found.get(name, (0, 0))
                found[name] = (packets + int.from_bytes(values[_PACKETS], "big"), octets + int.from_bytes(values[_OCTETS], "big"))
    return found


def tables(family: int) -> set[str]:
    """Names of all tables of the family, anybody's."""
    with _opened() as netlink:
        return {_words(dict(_attributes(message))[_TABLE]) for message in _dump(netlink, _GET_TABLE, family)}


def sets(family: int, table: str) -> set[str]:
    """Names of the table's sets; none where it is not there."""
    with _opened() as netlink:
        return {_words(dict(_attributes(message))[_NAME]) for message in _dump(netlink, _GET_SET, family, (_TABLE, _text(table)))}


def fingerprint(tables: Collection[tuple[int, str]]) -> str:
    """Digest of all that `tables` hold, there or not, without what their counters say: each change of them by anybody changes it."""
    digest = sha256()
    with _opened() as netlink:
        for family, table in tables:
            for part in _parts(netlink, family, table):
                digest.update(len(part).to_bytes(4, "big") + part)
    return digest.hexdigest()


def _parts(netlink: socket.socket, family: int, table: str) -> Iterator[bytes]:
    """The table with its number of things and its flags, chains, rules, sets with their elements, limits."""
    own = (_TABLE, _text(table))
    found = [message for message in _dump(netlink, _GET_TABLE, family) if own in _attributes(message)]
    yield b"".join(found)
    if not found:
        return
    yield from (message for message in _dump(netlink, _GET_CHAIN, family) if own in _attributes(message))
    yield from _dump(netlink, _GET_RULE, family, own)
    for message in _dump(netlink, _GET_SET, family, own):
        yield message
        of = dict(_attributes(message))
        if not int.from_bytes(of.get(_SET_FLAGS, b""), "big") & _FILLED_BY_PACKETS:
            yield from sorted(_elements(netlink, family, own, of[_NAME]))  # their order is the kernel's affair
    yield from _dump(netlink, _GET_OBJECT, family, own, (_OBJECT_TYPE, struct.pack("!I", _LIMIT)))


def _elements(netlink: socket.socket, family: int, own: tuple[int, bytes], name: bytes) -> Iterator[bytes]:
    for message in _dump(netlink, _GET_ELEMENTS, family, own, (_NAME, name)):
        for kind, value in _attributes(message):
            if kind == _ELEMENTS:
                yield from (element for _, element in _attributes(value))


def _opened() -> socket.socket:
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
    netlink.settimeout(dump.SECONDS)
    netlink.bind((0, 0))
    return netlink


def _dump(netlink: socket.socket, kind: int, family: int, *wanted: tuple[int, bytes]) -> list[bytes]:
    """The attributes of each message of the answer, all of one moment. Raises: FabricError("rules_refused"), FabricError("timeout")."""
    for _ in range(_TRIES):
        netlink.send(_request(kind, family, dump.REQUEST, *wanted))
        found, is_whole = _answer(netlink)
        if is_whole:
            return found
    raise FabricError("timeout", "Somebody changes the host's firewall rules all the time, so they can't be read. Try again.")


def _answer(netlink: socket.socket) -> tuple[list[bytes], bool]:
    """The attributes of each message; and whether nobody changed rules meanwhile."""
    try:
        found, is_whole = dump.answer(netlink)
    except dump.Refused as refused:
        if refused.number == errno.ENOENT:  # a table that is not there, or not any more
            return [], True
        raise FabricError("rules_refused", f"The kernel does not tell its firewall rules: {os.strerror(refused.number)}.") from None
    return [message[dump.HEADER + _FAMILY :] for message in found], is_whole


def _request(kind: int, family: int, flags: int, *wanted: tuple[int, bytes]) -> bytes:
    body = struct.pack("=BBH", family, 0, 0)
    for what, value in wanted:
        body += struct.pack("=HH", 4 + len(value), what) + value + bytes(-len(value) % 4)
    return struct.pack("=IHHII", 16 + len(body), _SUBSYSTEM | kind, flags, 1, 0) + body


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        yield kind & _KIND, data[at + 4 : at + length]
        at += length + 3 & ~3


def _text(words: str) -> bytes:
    return words.encode() + b"\0"


def _words(text: bytes) -> str:
    return text.rstrip(b"\0").decode()
