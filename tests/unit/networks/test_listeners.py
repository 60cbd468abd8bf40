"""The kernel's tables of sockets, as a little-endian machine prints them."""

import sys
from ipaddress import ip_address

import pytest

from networks.fabric.base import Endpoint
from networks.fabric.listeners import Listener, parse

pytestmark = pytest.mark.skipif(sys.byteorder == "big", reason="the sample tables were printed by a little-endian machine")

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000   106        0 15211 1 0000000000000000 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 15212 1 0000000000000000 100 0 0 10 0
   2: 0100007F:9C40 0100007F:18EB 01 00000000:00000000 00:00000000 00000000  1000        0 15213 1 0000000000000000 20 4 30 10 -1
""".splitlines()
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 15252 1
   1: 0000000000000000FFFF00000100007F:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 15253 1
   2: 00000000000000000000000001000000:1F92 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 15254 1
""".splitlines()  # noqa: E501 - as the kernel prints it
UDP = """\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  101: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 15255 2 0000000000000000 0
  102: 0100007F:8000 0100007F:0035 01 00000000:00000000 00:00000000 00000000     0        0 15256 2 0000000000000000 0
""".splitlines()


def listener(protocol: str, address: str, port: int, inode: int = 1, uid: int = 0) -> Listener:
    return Listener(protocol, ip_address(address), port, inode, uid)


def test_reads_tcp_listeners_and_no_connection():
    assert list(parse("tcp", TCP)) == [listener("tcp", "127.0.0.1", 6379, 15211, 106), listener("tcp", "0.0.0.0", 22, 15212)]


def test_reads_ipv6_and_unmaps_ipv4():
    assert [str(found.address) for found in parse("tcp", TCP6)] == ["::", "127.0.0.1", "::1"]


def test_every_bound_udp_socket_counts():
    """A UDP socket holds its port as soon as it is bound, connected or not."""
    assert [(str(found.address), found.port) for found in parse("udp", UDP)] == [("127.0.0.53", 53), ("127.0.0.1", 32768)]


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
