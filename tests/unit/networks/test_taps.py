"""Which descriptors of a running QEMU are a NIC's: read from its command line."""

import pytest

from networks.fabric import taps
from networks.fabric.base import NicPlan
from networks.fabric.taps import held, named_in

MAC = "02:00:00:00:00:01"
DEVICE = f"virtio-net-pci,id=nic1,netdev=net1,bus=port1,mac={MAC},romfile="
OTHER = ["-netdev", "tap,id=net0,fd=5", "-device", "virtio-net-pci,id=nic0,netdev=net0,bus=port0,mac=02:00:00:00:00:02,romfile="]


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("tap,id=net1,fd=7", {7}),
        ("tap,id=net1,fds=7:8", {7, 8}),
        ("tap,id=net1,fd=7,vhost=on,vhostfd=9", {7}),
        ("tap,id=net1,fds=7:8,vhost=on,vhostfds=9:10", {7, 8}),
        ("user,id=net1,net=10.0.9.0/24", set()),
        ("tap,id=net10,fd=7", set()),
    ],
)
def test_the_backend_of_the_device_with_the_mac(backend, expected):
    assert named_in(["qemu", *OTHER, "-netdev", backend, "-device", DEVICE], MAC) == expected


def test_a_mac_that_no_device_has():
    assert named_in(["qemu", *OTHER], MAC) == set()
    assert named_in([], MAC) == set()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["qemu", *OTHER, "-netdev", "tap,id=net1,fd=7", "-device", DEVICE], [7]),
        (["qemu", *OTHER], []),
        (["qemu-of-a-test"], [5, 7]),
    ],
)
def test_another_vm_under_the_same_number_gives_nothing_away(monkeypatch, arguments, expected):
    """INV-07: its lost tap would come back on a stranger's bridge."""
    monkeypatch.setattr(taps, "_tun_descriptors", lambda _: [(5, ""), (7, ""), (8, "owc0de00000009t")])
    monkeypatch.setattr(taps, "_arguments", lambda _: arguments)
    assert held(1, NicPlan("owc0de00000001t", MAC, "bob", "192.168.33.19")) == expected
