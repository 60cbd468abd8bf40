"""T1: no crash of ours, at any command of attaching or detaching a NIC of a real QEMU, leaves half a NIC, a descriptor or a tap."""

import fcntl
import multiprocessing
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from qemu.qmp import QMPClient

from instances.hypervisor import qmp
from instances.hypervisor.base import DriverError, TapNic
from tests.contract.hypervisors import IFF_NO_PI, IFF_TAP, IFF_VNET_HDR, TAP, TUNSETIFF, QemuRig, until

pytestmark = pytest.mark.host
MAC, PORT = "52:54:00:00:00:0a", 1
QUEUES, IFF_MULTI_QUEUE = 2, 0x0100
# Commands of QMP, and which call of each: those that change something, and the looks in between.
ATTACH = [("qom-list", 0), ("netdev_del", 0), ("closefd", 0), ("getfd", 0), ("getfd", 1), ("netdev_add", 0), ("device_add", 0)]
DETACH = [("device_del", 0), ("qom-list", 0), ("netdev_del", 0), ("closefd", 0)]
Step = tuple[str, int]


def _name(step: Step) -> str:
    return f"{step[0]}-{step[1]}"


@contextmanager
def interrupted(step: Step, act: Callable[[], None], *, before: bool) -> Iterator[None]:
    """`act` is called just before or after that command."""
    wanted, number = step
    real, calls = QMPClient.execute, []

    async def execute(client: QMPClient, command: str, *more: Any) -> Any:
        calls.extend([command] * (command == wanted))
        mine = command == wanted and len(calls) == number + 1
        if mine and before:
            act()
        try:
            return await real(client, command, *more)
        finally:
            if mine and not before:
                act()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QMPClient, "execute", execute)
        yield
    assert len(calls) > number, "the step was not reached"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    raise OSError("No space left on device")


@dataclass
class Plugged:
    """A running VM whose NIC comes and goes."""

    rig: QemuRig
    vm: UUID
    pid: int

    def attach(self) -> None:
        """As a worker does: it makes the tap anew and keeps nothing of it."""
        subprocess.run(["ip", "link", "delete", TAP], check=False, stderr=subprocess.DEVNULL)
        flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE
        fds = tuple(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC) for _ in range(QUEUES))
        try:
            for fd in fds:
                fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", TAP.encode(), flags))
            self.rig.driver.attach_nic(self.vm, PORT, TapNic(MAC, fds))
        finally:
            for fd in fds:
                os.close(fd)

    def detach(self) -> None:
        """Take it off."""
        self.rig.driver.detach_nic(self.vm, PORT)

    def facts(self) -> list[Any]:
        """What QEMU has of NICs, its descriptors, taps of the host."""
        control = self.rig.driver.paths(self.vm).control
        parts = qmp.ask(control, "qom-list", {"path": "/machine/peripheral"})
        backends = [line.strip().partition(":")[0] for line in qmp.monitor(control, "info network").splitlines()]
        taps = [name for _, name in socket.if_nameindex() if name == TAP]
        return [self.rig.driver.nic_ports(self.vm), sorted(part["name"] for part in parts), backends, _opened(self.pid), taps]


def _opened(pid: int) -> list[str]:
    """What its descriptors are of, without sockets: our connection of a moment ago may still be one."""
    found = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(fd.readlink()))
    return sorted(target for target in found if not target.startswith("socket:"))


@pytest.fixture
def plugged(qemus: QemuRig) -> Plugged:
    """Without the NIC."""
    machine = qemus.machine()
    pid = qemus.booted(machine).pid
    assert pid is not None
    return Plugged(qemus, machine.id, pid)


def broken_at(step: Step, how: str, act: Callable[[], None], *, before: bool) -> None:
    """`act` is killed, or meets an error, at the step."""
    if how == "fail":
        with interrupted(step, fail, before=before), suppress(DriverError):
            act()
        return

    def run() -> None:
        with interrupted(step, die, before=before):
            act()

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(40)
    assert process.exitcode == -signal.SIGKILL, "the step was not reached"


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("how", ["kill", "fail"])
class TestEveryCommand:
    """INV-02, INV-03, INV-05."""

    @pytest.mark.parametrize("step", ATTACH, ids=_name)
    def test_attached_again_it_is_there_once(self, plugged: Plugged, step: Step, how: str, before: bool) -> None:
        clean = plugged.facts()
        plugged.attach()
        whole = plugged.facts()
        plugged.detach()
        broken_at(step, how, plugged.attach, before=before)
        for _ in range(2):
            _attach_or_find(plugged)
            assert plugged.facts() == whole
        plugged.detach()
        until(lambda: plugged.facts() == clean)

    @pytest.mark.parametrize("step", ATTACH, ids=_name)
    def test_no_more_wanted_nothing_of_it_is_left(self, plugged: Plugged, step: Step, how: str, before: bool) -> None:
        clean = plugged.facts()
        broken_at(step, how, plugged.attach, before=before)
        for _ in range(2):
            plugged.detach()
            assert plugged.facts() == clean

    @pytest.mark.parametrize("step", DETACH, ids=_name)
    def test_detached_again_nothing_of_it_is_left(self, plugged: Plugged, step: Step, how: str, before: bool) -> None:
        clean = plugged.facts()
        plugged.attach()
        broken_at(step, how, plugged.detach, before=before)
        for _ in range(2):
            plugged.detach()
            assert plugged.facts() == clean


def _attach_or_find(plugged: Plugged) -> None:
    """A reconciler asks first: a second tap would take the place of the one that is there."""
    if plugged.rig.driver.nic_ports(plugged.vm)[PORT] != MAC:
        plugged.attach()
