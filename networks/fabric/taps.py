"""Taps: made by TUNSETIFF, ports of a bridge, alive exactly as long as a descriptor of them is open.

A tap is not persistent: its descriptors pass from the worker to QEMU, so it is gone with QEMU, and with the worker if that dies in between.
"""

import fcntl
import os
import re
import socket
import struct
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from networks.fabric import names, netlink, sysctls
from networks.fabric.base import FabricError, NetworkPlan, NicPlan

_TUN = "/dev/net/tun"
_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_TUNSETVNETHDRSZ = 0x400454D8
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR, _IFF_MULTI_QUEUE = 0x0002, 0x1000, 0x4000, 0x0100
_VNET_HEADER = 12  # bytes before each frame, as virtio 1 and mergeable buffers have it
_MOST_QUEUES = 256  # MAX_TAP_QUEUES
# A guest's frames teach the bridge nothing and a frame for nobody reaches nobody: the one static entry is its MAC.
# mode: hairpin, for a guest that asks for itself by its own forward; the filter keeps its broadcasts from coming back (set `same`).
_PORT = {"learning": 0, "unicast_flood": 0, "isolated": 0, "mode": 1, "guard": 1}  # guard: no BPDU comes in
_STATIC, _MASTER = 0x40, 0x04  # NUD_NOARP, NTF_MASTER


def plug(network: NetworkPlan, nic: NicPlan, queues: int) -> tuple[int, ...]:
    """Make the tap, a port of the bridge; one descriptor for each queue. Raises: FabricError("link_refused")."""
    if not 1 <= queues <= _MOST_QUEUES:
        raise FabricError("bad_network", f"A tap has between 1 and {_MOST_QUEUES} queues, not {queues}.")
    unplug(nic.tap)
    with ExitStack() as undo:
        descriptors = tuple(_open(nic.tap, queues, undo) for _ in range(queues))
        _attach(network, nic)
        undo.pop_all()
    return descriptors


def unplug(tap: str) -> None:
    """Take the tap away, whoever holds it."""
    if _index(tap) is not None:
        with netlink.opened(f"delete the tap {tap}") as ip:
            netlink.delete(ip, tap)


def plugged(installation: str) -> tuple[str, ...]:
    """All taps of the installation."""
    with netlink.opened("list the host's links") as ip:
        found = (row.get_attr("IFLA_IFNAME") for row in ip.get_links())
        return tuple(sorted(name for name in found if names.is_tap(name, installation)))


def unplug_all(bridge: str, installation: str) -> None:
    """Take away all taps that are ports of the bridge."""
    index = _index(bridge)
    if index is None:
        return
    with netlink.opened("delete the taps of a bridge") as ip:
        ports = [row.get_attr("IFLA_IFNAME") for row in ip.get_links() if row.get_attr("IFLA_MASTER") == index]
        for name in ports:
            if names.is_tap(name, installation):
                netlink.delete(ip, name)


def replug(network: NetworkPlan, nic: NicPlan, descriptors: Sequence[int]) -> None:
    """Make the tap anew on descriptors of the deleted one. Raises: FabricError("not_plugged"), FabricError("link_refused")."""
    if not descriptors or any(_tap_of(descriptor) not in ("", nic.tap) for descriptor in descriptors):
        raise FabricError("not_plugged", f"Nobody holds the deleted tap {nic.tap} any more. Restart the instance.")
    unplug(nic.tap)
    for descriptor in descriptors:
        _set_interface(descriptor, nic.tap, len(descriptors))
        # Offloads stay off until QEMU starts anew: only it knows which ones the guest agreed to, and without them all of it works.
        fcntl.ioctl(descriptor, _TUNSETVNETHDRSZ, struct.pack("i", _VNET_HEADER))
    _attach(network, nic)


def _tap_of(descriptor: int) -> str | None:
    """Name of the tap that a descriptor of ours holds, "" once it is deleted; None when it is of something else."""
    if str(Path(f"/proc/self/fd/{descriptor}").readlink()) != _TUN:
        return None
    match = re.search(r"^iff:\s*(\S*)$", Path(f"/proc/self/fdinfo/{descriptor}").read_text(), re.MULTILINE)
    return match[1] if match else ""


def _open(tap: str, queues: int, undo: ExitStack) -> int:
    try:
        descriptor = os.open(_TUN, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise FabricError("link_refused", f"{_TUN} does not open: {error.strerror}. Load the module tun.") from None
    undo.callback(os.close, descriptor)
    _set_interface(descriptor, tap, queues)
    return descriptor


def _set_interface(descriptor: int, tap: str, queues: int) -> None:
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR | (_IFF_MULTI_QUEUE if queues > 1 else 0)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", tap.encode("ascii"), flags))
    except OSError as error:
        raise FabricError("link_refused", f"The kernel refused to make the tap {tap}: {error.strerror}.") from None


def _attach(network: NetworkPlan, nic: NicPlan) -> None:
    """Join the bridge, with the filter already in place; up comes last."""
    bridge, index = _index(network.bridge), _index(nic.tap)
    if bridge is None:
        raise FabricError("link_refused", f"The network {network.name} has no bridge on the host. Repair the network first.")
    if index is None:
        raise FabricError("link_refused", f"The tap {nic.tap} was deleted by somebody while it was set up. Try again.")
    if sysctls.read("ipv6/conf/all/disable_ipv6") is not None:
        sysctls.write(f"ipv6/conf/{nic.tap}/disable_ipv6", "1")  # the host itself has nothing to say on a guest's port
    with netlink.opened(f"plug the NIC {nic.tap} into {network.name}") as ip:
        ip.link("set", index=index, master=bridge, mtu=network.mtu)
        ip.brport("set", index=index, **_PORT)
        ip.fdb("add", ifindex=index, lladdr=nic.mac, state=_STATIC, flags=_MASTER)
        ip.link("set", index=index, state="up")


def _index(name: str) -> int | None:
    with suppress(OSError):  # "no interface with this name", without a number
        return socket.if_nametoindex(name)
    return None
