"""Ethernet frames as bytes, for tests that say to a tap what no honest guest would."""

import struct
from ipaddress import IPv4Address, IPv6Address

BROADCAST = "ff:ff:ff:ff:ff:ff"
ARP, IP4, IP6, VLAN, QINQ = 0x0806, 0x0800, 0x86DD, 0x8100, 0x88A8
ICMP, IGMP, TCP, UDP, ICMP6 = 1, 2, 6, 17, 58


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def ip(text: str) -> bytes:
    return IPv6Address(text).packed if ":" in text else IPv4Address(text).packed


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(source: str, to: str, kind: int, body: bytes) -> bytes:
    return mac(to) + mac(source) + struct.pack("!H", kind) + body


def tagged(frame: bytes, kind: int = VLAN, tag: int = 7) -> bytes:
    """The same frame under a VLAN tag."""
    return frame[:12] + struct.pack("!HH", kind, tag) + frame[12:]


def arp(source: str, operation: int, sender: tuple[str, str], target: tuple[str, str], to: str = BROADCAST, **sizes: int) -> bytes:
    """`sender` and `target` are (MAC, IPv4)."""
    head = struct.pack("!HHBBH", sizes.get("hardware", 1), IP4, 6, sizes.get("length", 4), operation)
    return ethernet(source, to, ARP, head + mac(sender[0]) + ip(sender[1]) + mac(target[0]) + ip(target[1]))


def ip4(source: str, to: str, protocol: int, body: bytes, *, fragment: int = 0, more: bool = False, length: int = 0) -> bytes:
    """`fragment` is the offset in bytes."""
    flags = (fragment // 8) | (0x2000 if more else 0)
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length or 20 + len(body), 99, flags, 64, protocol, 0, ip(source), ip(to))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def ip6(source: str, to: str, protocol: int, body: bytes, hops: int = 255) -> bytes:
    return struct.pack("!IHBB", 0x6000_0000, len(body), protocol, hops) + ip(source) + ip(to) + body


def udp(source: int, to: int, body: bytes = b"x" * 20) -> bytes:
    """Without a checksum, which IPv4 allows."""
    return struct.pack("!HHHH", source, to, 8 + len(body), 0) + body


def udp6(addresses: tuple[str, str], source: int, to: int, body: bytes = b"x" * 20) -> bytes:
    head = struct.pack("!HHHH", source, to, 8 + len(body), 0)
    return head[:6] + struct.pack("!H", _over6(addresses, UDP, head + body)) + body


def icmp(kind: int, body: bytes = b"\0\1\0\1payload.") -> bytes:
    head = struct.pack("!BBH", kind, 0, 0)
    return struct.pack("!BBH", kind, 0, checksum(head + body)) + body


def icmp6(addresses: tuple[str, str], kind: int, body: bytes) -> bytes:
    head = struct.pack("!BBH", kind, 0, 0)
    return struct.pack("!BBH", kind, 0, _over6(addresses, ICMP6, head + body)) + body


def _over6(addresses: tuple[str, str], protocol: int, body: bytes) -> int:
    pseudo = ip(addresses[0]) + ip(addresses[1]) + struct.pack("!II", len(body), protocol)
    return checksum(pseudo + body)


def extension(following: int) -> bytes:
    """A destination-options or hop-by-hop header with nothing but padding (RFC 8200)."""
    return struct.pack("!BB", following, 0) + b"\1\4\0\0\0\0"


def router_alert(following: int) -> bytes:
    """The hop-by-hop header of MLD (RFC 2711)."""
    return struct.pack("!BB", following, 0) + b"\5\2\0\0\1\0"


def fragment6(following: int, offset: int, more: bool) -> bytes:
    return struct.pack("!BBHI", following, 0, offset | more, 4711)


def option(kind: int, address: str) -> bytes:
    """A neighbour discovery option with a MAC: 1 of the source, 2 of the target (RFC 4861)."""
    return struct.pack("!BB", kind, 1) + mac(address)


def solicit(target: str, *options: bytes) -> bytes:
    return bytes(4) + ip(target) + b"".join(options)


def advertise(target: str, *options: bytes) -> bytes:
    return b"\xe0\0\0\0" + ip(target) + b"".join(options)


def router_advert(prefix: str, *options: bytes) -> bytes:
    """A router's announcement of a /64 for self-made addresses."""
    information = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0) + ip(prefix)
    return struct.pack("!BBHII", 64, 0, 1800, 0, 0) + information + b"".join(options)


def multicast_of(address: str) -> tuple[str, str]:
    """The solicited-node address and its MAC."""
    tail = ip(address)[-3:]
    return str(IPv6Address(ip("ff02::1:ff00:0")[:13] + tail)), "33:33:ff:" + tail.hex(":")


def dhcp(client: str, operation: int = 1, message: int = 1, relay: str = "0.0.0.0") -> bytes:
    """A DHCPv4 message (RFC 2131); operation 1 asks, 2 answers."""
    head = struct.pack("!BBBBIHH", operation, 1, 6, 0, 0x1234, 0, 0x8000) + bytes(12) + ip(relay)
    return head + mac(client) + bytes(10 + 64 + 128) + b"\x63\x82\x53\x63" + bytes([53, 1, message, 255])
