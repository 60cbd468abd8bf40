"""Asks who has an address on a link (RFC 826) and hears who answers: whether a router is still there."""

import socket
import struct
import time
from collections.abc import Set
from ipaddress import IPv4Address

SHORT, LONG = 0.6, 3.0  # seconds to wait: for the first look, and after a move
_ETH_P_ARP = 0x0806
_AGAIN_SECONDS = 0.2
_BODY = struct.Struct("!HHBBH6s4s6s4s")
_REPLY = 2


def answering(link: str, targets: Set[str], own: str, seconds: float) -> set[str]:
    """Those of `targets` that answer on the link within `seconds`, asked by `own`; returns as soon as all have."""
    waiting = {IPv4Address(target).packed: target for target in targets}
    if not waiting:
        return set()
    answered: set[str] = set()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ARP)) as opened:
        opened.bind((link, _ETH_P_ARP))
        mac = opened.getsockname()[4]
        deadline = time.monotonic() + seconds
        while len(answered) < len(waiting) and (left := deadline - time.monotonic()) > 0:
            for target in waiting:
                opened.send(b"\xff" * 6 + mac + _ETH_P_ARP.to_bytes(2, "big") + _question(mac, IPv4Address(own).packed, target))
            answered |= _hear(opened, waiting, min(left, _AGAIN_SECONDS))
    return answered


def _question(mac: bytes, own: bytes, target: bytes) -> bytes:
    return _BODY.pack(1, 0x0800, 6, 4, 1, mac, own, bytes(6), target)


def _hear(opened: socket.socket, waiting: dict[bytes, str], seconds: float) -> set[str]:
    found: set[str] = set()
    deadline = time.monotonic() + seconds
    while len(found) < len(waiting) and (left := deadline - time.monotonic()) > 0:
        opened.settimeout(left)
        try:
            frame = opened.recv(2048)
        except TimeoutError:
            break
        if len(frame) >= 14 + _BODY.size:
            *_, kind, _, sender, _, _ = _BODY.unpack_from(frame, 14)
            if kind == _REPLY and sender in waiting:
                found.add(waiting[sender])
    return found
