"""Bridges and taps made by hand as the fabric makes them, with the tap's descriptor in the test's own hand."""

import fcntl
import os
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from tests.host.spaces import bridge, ip, sysctl

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_OUTGOING = 4  # linux/if_packet.h
_WAIT = 5.0  # seconds: for what must come


class Tap:
    """An open tap: what is written to it, the guest sends; what is read, the guest receives."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(self._fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
        sysctl(f"ipv6.conf.{name}.disable_ipv6", 1)  # a port has no address of its own, and says nothing of itself

    def send(self, frame: bytes) -> None:
        """The kernel carries it to the end of its road before this returns."""
        os.write(self._fd, frame)

    def received(self) -> list[bytes]:
        """All that lies there."""
        frames = []
        while select.select([self._fd], [], [], 0)[0]:
            frames.append(os.read(self._fd, 65_536))
        return frames

    def until(self, marker: bytes) -> list[bytes]:
        """All that came before `marker` did."""
        frames: list[bytes] = []
        while select.select([self._fd], [], [], _WAIT)[0]:
            frame = os.read(self._fd, 65_536)
            if frame == marker:
                return frames
            frames.append(frame)
        raise AssertionError(f"{self.name}: the marker never came, but {[frame.hex() for frame in frames]}")

    def close(self) -> None:
        os.close(self._fd)


class Ears:
    """What comes up from a bridge to the host's own stack."""

    def __init__(self, link: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
        self._socket.bind((link, 3))
        self._socket.setblocking(False)

    def heard(self) -> list[bytes]:
        frames = []
        while select.select([self._socket], [], [], 0)[0]:
            frame, where = self._socket.recvfrom(65_536)
            if where[2] != _OUTGOING:
                frames.append(frame)
        return frames

    def close(self) -> None:
        self._socket.close()


@contextmanager
def bridged(name: str, address: str, *, addresses: tuple[str, ...], local: str = "none") -> Iterator[None]:
    """A bridge `name` with this MAC and these addresses, up. `local`: "eui64" gives it a link-local one as well, as it needs to route."""
    ip(f"link add {name} address {address} type bridge mcast_snooping 0 nf_call_iptables 1 nf_call_ip6tables 1")
    try:
        sysctl(f"ipv6.conf.{name}.accept_dad", 0)
        ip(f"link set {name} addrgenmode {local} up")
        sysctl(f"ipv4.conf.{name}.route_localnet", 1)
        for one in addresses:
            ip(f"addr add {one} dev {name}" + (" nodad" if ":" in one else ""))
        yield
    finally:
        ip(f"link del {name}")


def port(link: str, of: str, mac: str) -> None:
    """Make `link` a port: nothing is learnt of it or flooded to it, a guest may meet itself; the link is up last."""
    ip(f"link set {link} master {of}")
    bridge(f"link set dev {link} learning off flood off hairpin on")
    bridge(f"fdb replace {mac} dev {link} master static")
    ip(f"link set {link} up")
