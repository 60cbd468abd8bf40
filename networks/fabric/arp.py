"""Asks who has an IPv4 address on a link (RFC 826) and hears who answers: whether a router is still there."""

import struct
from collections.abc import Set
from ipaddress import IPv4Address

from networks.fabric import neighbours

_ETH_P_ARP = 0x0806
_BODY = struct.Struct("!HHBBH6s4s6s4s")
_REPLY = 2


def answering(link: str, targets: Set[str], own: str, seconds: float) -> set[str]:
    """Those of `targets` that answer on the link within `seconds`, asked by `own`; returns as soon as all have."""
    source = IPv4Address(own).packed

    def question(mac: bytes, target: bytes) -> bytes:
        return b"\xff" * 6 + mac + _ETH_P_ARP.to_bytes(2, "big") + _BODY.pack(1, 0x0800, 6, 4, 1, mac, source, bytes(6), target)

    waiting = {IPv4Address(target).packed: target for target in targets}
    return neighbours.answering(link, _ETH_P_ARP, waiting, question, _sender, seconds)


def _sender(frame: bytes) -> bytes | None:
    if len(frame) < 14 + _BODY.size:
        return None
    *_, kind, _, sender, _, _ = _BODY.unpack_from(frame, 14)
    return bytes(sender) if kind == _REPLY else None
