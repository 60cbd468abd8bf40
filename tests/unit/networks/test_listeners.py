"""What the kernel says of real sockets on the loopback, and what a listener keeps others from."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_address

import pytest

from networks.fabric.base import Endpoint
from networks.fabric.listeners import Listener, listeners, taken

V4, V6, TCP, UDP = socket.AF_INET, socket.AF_INET6, socket.SOCK_STREAM, socket.SOCK_DGRAM
Bound = Callable[..., socket.socket]


@pytest.fixture
def bound() -> Iterator[Bound]:
    """A socket of this kind on a free port of an address."""
    with ExitStack() as closing:

        def bind(kind: socket.SocketKind, address: str, *, only_v6: bool = True) -> socket.socket:
            made = closing.enter_context(socket.socket(V6 if ":" in address else V4, kind))
            if ":" in address:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_v6)
            made.bind((address, 0))
            return made

        yield bind


def told(protocol: str, held: socket.socket) -> list[Listener]:
    """What the kernel says of the port of `held`."""
    return [found for found in listeners() if (found.protocol, found.port) == (protocol, port_of(held))]


def port_of(held: socket.socket) -> int:
    return int(held.getsockname()[1])


def inode_of(held: socket.socket) -> int:
    return os.fstat(held.fileno()).st_ino


def listener(protocol: str, address: str, port: int, inode: int = 1, uid: int = 0) -> Listener:
    return Listener(protocol, ip_address(address), port, inode, uid)


def test_tells_a_tcp_listener_and_no_connection(bound):
    server = bound(TCP, "127.0.0.1")
    assert told("tcp", server) == []
    server.listen()
    with socket.create_connection(server.getsockname()) as client:
        assert told("tcp", server) == [listener("tcp", "127.0.0.1", port_of(server), inode_of(server), os.geteuid())]
        assert told("tcp", client) == []


def test_tells_ipv6_and_unmaps_ipv4(bound):
    servers = [bound(TCP, address, only_v6=False) for address in ("::", "::ffff:127.0.0.1", "::1")]
    for server in servers:
        server.listen()
    assert [str(found.address) for server in servers for found in told("tcp", server)] == ["::", "127.0.0.1", "::1"]


def test_every_bound_udp_socket_counts(bound):
    """A UDP socket holds its port as soon as it is bound, connected or not."""
    alone, connected = bound(UDP, "127.0.0.1"), bound(UDP, "127.0.0.1")
    connected.connect(alone.getsockname())
    for held in (alone, connected):
        assert told("udp", held) == [listener("udp", "127.0.0.1", port_of(held), inode_of(held), os.geteuid())]


@pytest.mark.parametrize("only_v6", [True, False])
@pytest.mark.parametrize(("kind", "protocol"), [(TCP, "tcp"), (UDP, "udp")])
def test_a_socket_for_ipv6_alone_leaves_the_port_to_ipv4(bound, kind, protocol, only_v6):
    held = bound(kind, "::", only_v6=only_v6)
    if kind is TCP:
        held.listen()
    wanted = Endpoint(protocol, "127.0.0.1", port_of(held))
    assert set(taken([wanted])) == (set() if only_v6 else {wanted})


def test_more_listeners_than_one_answer_holds(bound):
    held = [bound(UDP, "127.0.0.1") for _ in range(600)]
    found = {found.inode for found in listeners()}
    assert {inode_of(one) for one in held} <= found


@pytest.mark.parametrize(
    ("held", "asked", "answer"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.2", "127.0.0.1", False),
        ("0.0.0.0", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("::", "127.0.0.1", True),
        ("::1", "127.0.0.1", False),
        ("::1", "0.0.0.0", False),
    ],
)
def test_a_wildcard_holds_the_port_on_every_address(held, asked, answer):
    assert listener("tcp", held, 80).covers(Endpoint("tcp", asked, 80)) is answer


def test_another_port_or_protocol_is_free():
    assert not listener("tcp", "0.0.0.0", 80).covers(Endpoint("tcp", "127.0.0.1", 81))
    assert not listener("tcp", "0.0.0.0", 80).covers(Endpoint("udp", "127.0.0.1", 80))
