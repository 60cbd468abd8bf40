"""A hypervisor of either kind with guests to drive, for its contract suite and the host tests; and waiting that ends."""

import fcntl
import os
import shutil
import socket
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID, uuid4

from instances.hypervisor import identity
from instances.hypervisor.base import Forward, Hypervisor, Machine, Observation, Power, UserNic
from instances.hypervisor.fake import FakeHypervisor
from instances.hypervisor.qemu import QemuHypervisor
from instances.hypervisor.tiny_guest import END_WITH_3, MARKER, PANIC, POWER_OFF, tiny_guest

UID = 800_901
TAG = f"test{os.getpid()}"  # of a run of its own: two may go on at once
TAP = "owtest0"
TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454CA, 0x0002, 0x1000, 0x4000  # linux/if_tun.h
PATIENCE = 20.0


def until(true: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Wait until it is so; fail when it is not in time."""
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, f"not so after {patience:g} s"
        time.sleep(0.01)


@contextmanager
def short_directory() -> Iterator[Path]:
    """A directory whose path is short enough for the sockets below it."""
    path = Path(tempfile.mkdtemp(prefix="ow", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port of 127.0.0.1 that nobody has bound a moment ago."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Rig:
    """One kind of driver on directories of its own; the subclasses know how its guests are moved from inside and from behind."""

    root: Path

    def __post_init__(self) -> None:
        self.driver = self.again()

    def again(self) -> Hypervisor:
        """The driver as another process would open it."""
        raise NotImplementedError

    def machine(self) -> Machine:
        """A machine that boots and waits."""
        raise NotImplementedError

    def tap(self) -> int:
        """A descriptor of a tap called TAP, which is gone when its last holder closes it."""
        raise NotImplementedError

    def end_with_3(self, machine: Machine) -> None:
        """Start it and let its program end with code 3."""
        raise NotImplementedError

    def crash(self, vm: UUID) -> None:
        """kill -9 of its QEMU."""
        raise NotImplementedError

    def booted(self, machine: Machine) -> Observation:
        """Start it and wait until its guest is up."""
        self.driver.start(machine)
        until(lambda: self.greeting(machine) in self.console(machine.id))
        return self.driver.observe(machine.id)

    def console(self, vm: UUID) -> bytes:
        """Everything on its console up to now."""
        self.driver.observe(vm)  # a fake one moves on when it is looked at
        log = self.driver.paths(vm).console_log
        return log.read_bytes() if log.exists() else b""

    def greeting(self, machine: Machine) -> bytes:
        """What the guest prints once it is up."""
        raise NotImplementedError

    def await_power(self, vm: UUID, power: Power) -> Observation:
        """Wait until the VM is found in this state."""
        until(lambda: self.driver.observe(vm).power is power)
        return self.driver.observe(vm)

    def files(self) -> set[str]:
        """Everything below its directories."""
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*")}

    def erase_all(self) -> None:
        """Leave nothing."""
        for vm in self.driver.list():
            self.driver.erase(vm)


class FakeRig(Rig):
    """The fake host."""

    def again(self) -> Hypervisor:
        return FakeHypervisor(self.root / "run", self.root / "state")

    def machine(self) -> Machine:
        forward = Forward("tcp", "127.0.0.1", 18080, 8080)
        nic = UserNic("52:54:00:00:00:01", forwards=(forward,))
        return Machine(uuid4(), "web", UID, 1, 64, Path("/kernel"), (), "", (nic,))

    def tap(self) -> int:
        return os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)

    def end_with_3(self, machine: Machine) -> None:
        self.driver.start(replace(machine, cmdline="--exit-code=3"))

    def crash(self, vm: UUID) -> None:
        FakeHypervisor(self.root / "run", self.root / "state").crash(vm)

    def greeting(self, machine: Machine) -> bytes:
        return f"Listening on tcp port {machine.nics[0].forwards[0].guest_port}.".encode()


class QemuRig(Rig):
    """Real QEMUs, whose guest is the tiny one."""

    def again(self) -> Hypervisor:
        return QemuHypervisor(self.root / "run", self.root / "state", group=0, tag=TAG)

    def machine(self) -> Machine:
        kernel = self.root / "tiny"
        kernel.write_bytes(tiny_guest())
        nic = UserNic("52:54:00:00:00:01", forwards=(Forward("tcp", "127.0.0.1", free_port(), 8080),))
        return Machine(uuid4(), "web", UID, 1, 64, kernel, (), "", (nic,))

    def tap(self) -> int:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", TAP.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
        return fd

    def end_with_3(self, machine: Machine) -> None:
        self.booted(machine)
        self.type(machine.id, END_WITH_3)

    def crash(self, vm: UUID) -> None:
        (process,) = identity.find(self.driver.paths(vm).run, vm)
        assert identity.end(process, 10)

    def greeting(self, machine: Machine) -> bytes:
        return MARKER

    def type(self, vm: UUID, data: bytes) -> None:
        """What a person types on the console. Returns once the guest has shown that it has it."""
        before = len(self.console(vm))
        with self.driver.paths(vm).typed.open("wb") as console:
            console.write(data)
        if data in (END_WITH_3, POWER_OFF, PANIC):
            until(lambda: self.driver.observe(vm).power is not Power.RUNNING)
        else:
            until(lambda: self.console(vm)[before : before + 1] == data[:1])
