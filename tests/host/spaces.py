"""Network namespaces inside the test process: a socket belongs to the one it was made in, whoever uses it later."""

import ctypes
import os
import select
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_RAW4 = (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
_RAW6 = (socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
SILENCE = 0.35  # seconds after which nothing more is expected: packets of these tests never wait for anything


class Space:
    """A namespace that lives as long as this object is open."""

    def __init__(self) -> None:
        home = _here()
        _call(_LIBC.unshare(_CLONE_NEWNET))
        self._fd = _here()
        _call(_LIBC.setns(home, _CLONE_NEWNET))
        os.close(home)
        self.ip("link set lo up")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Whatever is opened or run meanwhile is in this namespace."""
        home = _here()
        _call(_LIBC.setns(self._fd, _CLONE_NEWNET))
        try:
            yield
        finally:
            _call(_LIBC.setns(home, _CLONE_NEWNET))
            os.close(home)

    @property
    def name(self) -> str:
        """For `ip link … netns`."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def ip(self, line: str) -> None:
        with self.inside():
            ip(line)

    def sysctl(self, name: str, value: int) -> None:
        with self.inside():
            sysctl(name, value)

    def __enter__(self) -> "Space":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._fd)


class Here:
    """This namespace, with the same words."""

    @contextmanager
    def inside(self) -> Iterator[None]:
        yield

    def ip(self, line: str) -> None:
        ip(line)


def ip(line: str) -> None:
    subprocess.run(["/usr/sbin/ip", *line.split()], check=True, timeout=10)


def bridge(line: str) -> None:
    subprocess.run(["/usr/sbin/bridge", *line.split()], check=True, timeout=10)


def bridge_option(link: str, name: str, value: int) -> None:
    ip(f"link set {link} type bridge {name} {value}")


def sysctl(name: str, value: int) -> None:
    with open(f"/proc/sys/net/{name.replace('.', '/')}", "w") as file:
        file.write(str(value))


def listener(space: Space | Here, protocol: str, address: str, port: int) -> socket.socket:
    """TCP: listening; UDP: bound. Of IPv6 only that."""
    with space.inside():
        opened = _socket(protocol, address)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if ":" in address:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    opened.bind((address, port))
    if protocol == "tcp":
        opened.listen()
    return opened


def knock(space: Space | Here, door: socket.socket, protocol: str, address: str, port: int, uid: int = 0) -> str:
    """Whether somebody in `space` reaches the listener `door` by address:port and hears its answer; `uid` is whose socket it is.

    Returns the address that the listener saw, "silence", "refused", or "other" when somebody else answered.
    """
    with space.inside(), _as(uid):
        guest = _socket(protocol, address)
    with guest:
        guest.settimeout(SILENCE)
        try:
            guest.connect((address, port))
            guest.send(b"?")
            return _answer(guest, door, protocol)
        except TimeoutError:
            return "silence"
        except OSError:
            return "refused"


@contextmanager
def _as(uid: int) -> Iterator[None]:
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


def _answer(guest: socket.socket, door: socket.socket, protocol: str) -> str:
    ready, _, _ = select.select([door, guest], [], [], SILENCE)
    if not ready:
        return "silence"
    if door not in ready:
        guest.recv(1)  # a refusal, or what somebody else said
        return "other"
    if protocol == "udp":
        _, asker = door.recvfrom(100)
        door.sendto(b"!", asker)
        guest.recv(1)
        return asker[0]
    talk, asker = door.accept()
    with talk:
        talk.settimeout(SILENCE)
        talk.recv(1)
        talk.send(b"!")
        guest.recv(1)
        return asker[0]


def ping(space: Space | Here, address: str) -> bool:
    """Whether it answers an echo request."""
    is6 = ":" in address
    with space.inside(), socket.socket(*(_RAW6 if is6 else _RAW4)) as raw:
        raw.settimeout(SILENCE)
        raw.connect((address, 0))
        try:
            # The kernel counts ICMPv6's checksum; ICMP's is that of these very bytes.
            raw.send(b"\x80\0\0\0\x12\x34\0\1" if is6 else b"\x08\0\xe5\xca\x12\x34\0\1")
            while (answer := raw.recv(2048)) and answer[0 if is6 else 20] != (129 if is6 else 0):
                pass
        except (TimeoutError, OSError):
            return False
    return True


def _socket(protocol: str, address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)


def _here() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _call(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), "namespace")
