"""A guest without a VM: it speaks through the descriptor of its tap as QEMU would, enough of ARP, ND, DHCP and DNS to be served."""

import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

Answer = TypeVar("Answer")
_HEADER = bytes(10)  # virtio_net_hdr, before each frame of a tap with IFF_VNET_HDR
_COOKIE = bytes.fromhex("63825363")
_BROADCAST = b"\xff" * 6
DISCOVER, OFFER, REQUEST, ACK, NAK = 1, 2, 3, 5, 6
_PATIENCE = 15.0  # seconds: for what must come
_AGAIN = 1.0  # seconds after which a client asks anew: SOL_TIMEOUT of RFC 8415


@dataclass
class TapGuest:
    """Owns the descriptor."""

    descriptor: int
    mac: str
    client_id: bytes = b""  # of DHCP (RFC 2132, 9.14) and, where there is one, the DUID of DHCPv6

    @property
    def hardware(self) -> bytes:
        """Its MAC as six bytes."""
        return bytes.fromhex(self.mac.replace(":", ""))

    @property
    def link_local(self) -> IPv6Address:
        """EUI-64 of the MAC (RFC 4291)."""
        mac = self.hardware
        return IPv6Address(bytes.fromhex("fe80000000000000") + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:])

    def close(self) -> None:
        """As QEMU's end does: the tap goes with it."""
        os.close(self.descriptor)

    def send(self, destination: bytes, kind: int, payload: bytes) -> None:
        """One Ethernet frame."""
        os.write(self.descriptor, _HEADER + destination + self.hardware + kind.to_bytes(2, "big") + payload)

    def frames(self, seconds: float) -> Iterator[bytes]:
        """What arrives within that time."""
        deadline = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0 and poll.poll(left * 1000):
            yield os.read(self.descriptor, 65536)[len(_HEADER) :]

    def ask_dhcp(self, kind: int, *, wanted: str = "", server: str = "", seconds: float = 2.0) -> dict[int, bytes] | None:
        """The answer's options (RFC 2132), under 0 the address; None when nobody answers."""
        transaction = os.urandom(4)
        options = bytes([53, 1, kind, 55, 5, 1, 3, 6, 15, 26])
        options += bytes([61, len(self.client_id)]) + self.client_id if self.client_id else b""
        options += b"\x32\x04" + IPv4Address(wanted).packed if wanted else b""
        options += b"\x36\x04" + IPv4Address(server).packed if server else b""
        head = struct.pack("!BBBB4sHH16x16s192x", 1, 1, 6, 0, transaction, 0, 0x8000, self.hardware.ljust(16, b"\0"))
        self.send(_BROADCAST, 0x0800, _udp4("0.0.0.0", "255.255.255.255", 68, 67, head + _COOKIE + options + b"\xff"))
        for frame in self.frames(seconds):
            if frame[12:14] == b"\x08\x00" and frame[23] == 17 and frame[36:38] == b"\0\x44" and frame[46:50] == transaction:
                return {0: frame[58:62], **_options4(frame[282:])}
        return None

    def lease(self) -> dict[int, bytes]:
        """DISCOVER to ACK, asked again as RFC 2131 (4.1) has it; fails the test otherwise."""
        offer = _asked_until(lambda: self.ask_dhcp(DISCOVER, seconds=_AGAIN), "nobody offered an address")
        assert offer[53] == bytes([OFFER])
        wanted, server = str(IPv4Address(offer[0])), str(IPv4Address(offer[54]))
        return _asked_until(lambda: self.ask_dhcp(REQUEST, wanted=wanted, server=server, seconds=_AGAIN), "nobody acknowledged")

    def lease6(self) -> IPv6Address:
        """The address of a reply, asked for again as RFC 8415 (15) has it; fails the test otherwise."""
        return _asked_until(lambda: self.ask_dhcp6(_AGAIN), "nobody gave an IPv6 address")

    def await_router(self) -> bytes:
        """The body of a router's advertisement, asked for until it comes: the bridge has its carrier and its link-local address
        a moment after the tap, and only then is anybody served."""
        return _asked_until(lambda: self.solicit_router(0.2), "no router announced itself")

    def ask_dhcp6(self, seconds: float) -> IPv6Address | None:
        """The address of the server's reply to a SOLICIT with rapid commit or to the REQUEST after it (RFC 8415)."""
        transaction = os.urandom(3)
        duid = self.client_id or b"\0\x03\0\x01" + self.hardware
        client = struct.pack("!HH", 1, len(duid)) + duid
        association = struct.pack("!HHIII", 3, 12, 1, 0, 0)
        self._send_dhcp6(1, transaction, client + association)
        for kind, options in self._dhcp6_answers(transaction, seconds):
            if kind == 2:  # ADVERTISE: ask that server
                server = options[2]
                self._send_dhcp6(3, transaction, client + association + struct.pack("!HH", 2, len(server)) + server)
            elif kind == 7 and 3 in options:  # REPLY
                inner = _options6(options[3][12:])
                return IPv6Address(inner[5][:16]) if 5 in inner else None
        return None

    def solicit_router(self, seconds: float) -> bytes | None:
        """The body of the router advertisement that answers."""
        body = struct.pack("!BBHI", 133, 0, 0, 0) + b"\x01\x01" + self.hardware
        self.send(bytes.fromhex("333300000002"), 0x86DD, _ip6(self.link_local, IPv6Address("ff02::2"), 58, body))
        return next((frame[54:] for frame in self._frames6(seconds) if frame[20] == 58 and frame[54] == 134), None)

    def _send_dhcp6(self, kind: int, transaction: bytes, options: bytes) -> None:
        message = bytes([kind]) + transaction + options + struct.pack("!HHH", 8, 2, 0)
        udp = struct.pack("!HHHH", 546, 547, 8 + len(message), 0) + message
        self.send(bytes.fromhex("333300010002"), 0x86DD, _ip6(self.link_local, IPv6Address("ff02::1:2"), 17, udp))

    def _dhcp6_answers(self, transaction: bytes, seconds: float) -> Iterator[tuple[int, dict[int, bytes]]]:
        for frame in self._frames6(seconds):
            if frame[20] == 17 and frame[56:58] == b"\x02\x22" and frame[63:66] == transaction:
                yield frame[62], _options6(frame[66:])

    def _frames6(self, seconds: float) -> Iterator[bytes]:
        """IPv6 packets that arrive; who asks for our MAC (RFC 4861) is told it, or the answer to us would never be sent."""
        for frame in self.frames(seconds):
            if frame[12:14] != b"\x86\xdd":
                continue
            if frame[20] == 58 and frame[54] == 135 and frame[62:78] == self.link_local.packed:
                self._advertise(frame)
            yield frame

    def _advertise(self, solicitation: bytes) -> None:
        body = struct.pack("!BBHI", 136, 0, 0, 0x60000000) + self.link_local.packed + b"\x02\x01" + self.hardware
        self.send(solicitation[6:12], 0x86DD, _ip6(self.link_local, IPv6Address(solicitation[22:38]), 58, body))


def _asked_until(ask: Callable[[], Answer | None], otherwise: str) -> Answer:
    deadline = time.monotonic() + _PATIENCE
    while (answer := ask()) is None:
        assert time.monotonic() < deadline, otherwise
    return answer


def resolve(name: str, kind: int, server: str) -> tuple[int, list[str]]:
    """(rcode, answers) of one DNS question (RFC 1035); kinds: 1 A, 12 PTR, 28 AAAA."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0" + struct.pack("!HH", kind, 1)
    with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.settimeout(3)
        asked.sendto(struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + question, (server, 53))
        answer = asked.recv(4096)
    at, found = 12 + len(question), []
    for _ in range(struct.unpack_from("!H", answer, 6)[0]):
        length = struct.unpack_from("!H", answer, at + 10)[0]
        data = answer[at + 12 : at + 12 + length]
        found.append(_READERS[kind](data))
        at += 12 + length
    return answer[3] & 15, found


def reverse(address: str) -> str:
    """The name to ask PTR for."""
    return (IPv6Address(address) if ":" in address else IPv4Address(address)).reverse_pointer


def _name(data: bytes) -> str:
    labels = []
    while data and data[0]:
        labels.append(data[1 : 1 + data[0]].decode())
        data = data[1 + data[0] :]
    return ".".join(labels)


_READERS: dict[int, Callable[[bytes], str]] = {1: lambda data: str(IPv4Address(data)), 12: _name, 28: lambda data: str(IPv6Address(data))}


def _options4(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while data and data[0] != 255:
        if data[0] == 0:
            data = data[1:]
            continue
        found[data[0]] = data[2 : 2 + data[1]]
        data = data[2 + data[1] :]
    return found


def _options6(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(data) >= 4:
        kind, length = struct.unpack_from("!HH", data)
        found[kind] = data[4 : 4 + length]
        data = data[4 + length :]
    return found


def _sum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _udp4(source: str, destination: str, sport: int, dport: int, payload: bytes) -> bytes:
    addresses = IPv4Address(source).packed + IPv4Address(destination).packed
    head = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(payload), 0, 0, 64, 17, 0)
    checksum = _sum(head + addresses)
    return head[:10] + checksum.to_bytes(2, "big") + addresses + struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


def _ip6(source: IPv6Address, destination: IPv6Address, protocol: int, body: bytes) -> bytes:
    """An IPv6 packet with the checksum of its UDP or ICMPv6 filled in."""
    pseudo = source.packed + destination.packed + struct.pack("!II", len(body), protocol)
    at = 6 if protocol == 17 else 2
    checksum = _sum(pseudo + body) or 0xFFFF
    body = body[:at] + checksum.to_bytes(2, "big") + body[at + 2 :]
    return struct.pack("!IHBB", 0x60000000, len(body), protocol, 255) + source.packed + destination.packed + body
