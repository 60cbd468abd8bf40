"""Which descriptors of a running QEMU are a NIC's: read from its command line."""

import pytest

from networks.fabric.taps import named_in

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
