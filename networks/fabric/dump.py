"""Answers to dump requests, as every netlink family gives them (netlink(7)); for `nfnetlink` and `listeners`."""

import socket
import struct

REQUEST = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
HEADER = 16  # bytes of nlmsghdr, before each message
ROOM = 1 << 18  # bytes of one answer: more than the kernel ever sends
SECONDS = 20
_ERROR, _DONE, _INTERRUPTED = 2, 3, 0x10


class Refused(Exception):
    """The kernel's errno in place of an answer."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def answer(netlink: socket.socket) -> tuple[list[bytes], bool]:
    """The messages of an answer to its end, headers included; and whether nothing changed meanwhile. Raises: Refused."""
    found: list[bytes] = []
    is_whole = True
    while True:
        received, at = netlink.recv(ROOM), 0
        while at < len(received):
            length, what, flags = struct.unpack_from("=IHH", received, at)
            is_whole = is_whole and not flags & _INTERRUPTED
            if what == _DONE:
                return found, is_whole
            if what == _ERROR:
                raise Refused(-struct.unpack_from("=i", received, at + HEADER)[0])
            found.append(received[at : at + length])
            at += length + 3 & ~3
