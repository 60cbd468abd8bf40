"""Asks by IPv6 neighbour discovery (RFC 4861) who is on a link, and who routes there."""

import socket
from collections.abc import Set
from contextlib import suppress
from ipaddress import IPv6Address

from networks.fabric import neighbours

_ETH_P_IPV6 = 0x86DD
_ICMPV6, _HOPS = 58, 255  # a neighbour takes nothing that a router could have passed on
_ROUTERS, _NOBODY = IPv6Address("ff02::2"), IPv6Address("::")
_SOLICITED_NODE = IPv6Address("ff02::1:ff00:0").packed[:13]  # RFC 4291, 2.7.1
_SOLICIT_ROUTERS, _SOLICIT, _ADVERTISE = 133, 135, 136
_OWN_MAC = b"\x01\x01"  # option 1, 8 bytes: where to answer
_ICMP_AT, _TARGET_AT, _LEAST = 54, 62, 78  # in a frame without extension headers, which no neighbour sends


def answering(link: str, targets: Set[str], own: str, seconds: float) -> set[str]:
    """Those of `targets` that answer on the link within `seconds`, asked by `own`; returns as soon as all have."""
    source = IPv6Address(own)

    def question(mac: bytes, target: bytes) -> bytes:
        group = IPv6Address(_SOLICITED_NODE + target[13:])
        return _frame(mac, source, group, bytes((_SOLICIT, 0, 0, 0, 0, 0, 0, 0)) + target + _OWN_MAC + mac)

    waiting = {IPv6Address(target).packed: target for target in targets}
    return neighbours.answering(link, _ETH_P_IPV6, waiting, question, _advertised, seconds)


def solicit(link: str) -> None:
    """Ask the link's routers to advertise themselves now, as a host does that has just come to it. On a link that is down: nothing."""
    with suppress(OSError), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as opened:
        opened.bind((link, 0))
        opened.send(_frame(opened.getsockname()[4], _NOBODY, _ROUTERS, bytes((_SOLICIT_ROUTERS, 0, 0, 0, 0, 0, 0, 0))))


def _advertised(frame: bytes) -> bytes | None:
    is_answer = len(frame) >= _LEAST and frame[20:22] == bytes((_ICMPV6, _HOPS)) and frame[_ICMP_AT] == _ADVERTISE
    return frame[_TARGET_AT:_LEAST] if is_answer else None


def _frame(mac: bytes, source: IPv6Address, group: IPv6Address, message: bytes) -> bytes:
    """To a multicast group, whose MAC is made from it; `message` with a checksum of 0."""
    ends = source.packed + group.packed
    summed = _checksum(ends + len(message).to_bytes(4, "big") + bytes((0, 0, 0, _ICMPV6)) + message)
    header = b"\x60\0\0\0" + len(message).to_bytes(2, "big") + bytes((_ICMPV6, _HOPS)) + ends
    return b"\x33\x33" + group.packed[12:] + mac + _ETH_P_IPV6.to_bytes(2, "big") + header + message[:2] + summed + message[4:]


def _checksum(data: bytes) -> bytes:
    """RFC 1071; of an even number of bytes."""
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")
