"""What `info usernet` prints, as QEMU 7.2 prints it."""

from instances.hypervisor.base import Forward
from instances.hypervisor.usernet import forwards

INFO = """\
Hub -1 (net0):
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
  TCP[ESTABLISHED]   31       127.0.0.1 18080       10.0.2.15  8080     0     0
  TCP[HOST_FORWARD]  17               * 18097       10.0.2.15    80     0     0
  TCP[HOST_FORWARD]  16       127.0.0.1 18080       10.0.2.15  8080     0     0
  UDP[HOST_FORWARD]  20       127.0.0.1 18098       10.0.2.15    53     0     0
Hub -1 (net1):
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
  TCP[HOST_FORWARD]  21       127.0.0.2 18080       10.0.3.15  8080     0     0
"""


def test_the_forwards_of_one_nic():
    assert forwards(INFO, "net0") == {
        Forward("tcp", "0.0.0.0", 18097, 80),
        Forward("tcp", "127.0.0.1", 18080, 8080),
        Forward("udp", "127.0.0.1", 18098, 53),
    }


def test_each_nic_has_its_own():
    assert forwards(INFO, "net1") == {Forward("tcp", "127.0.0.2", 18080, 8080)}
    assert forwards(INFO, "net2") == set()


def test_nothing_forwarded():
    assert forwards("", "net0") == set()
