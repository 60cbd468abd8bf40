"""What a hypervisor driver is: the values that go in and out, and the protocol that `qemu` and `fake` both keep.

Pure: anyone may import this module. The drivers themselves are held by `instances.reconcile` and `instances.watch` alone.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol
from uuid import UUID

# NICs that a VM can be given while it runs, beside those it was started with. CPU time up to the program (TCG, medians of 7): 2.90 s with
# no such port and with two, 2.96 s with four.
SPARE_PORTS = 2
RELEASE_TIMEOUT = 2.0  # seconds; Linux lets go of a NIC in 0.1 s


class Power(StrEnum):
    """What a look at the host can find."""

    ABSENT = "absent"  # nothing of it on this host
    STOPPED = "stopped"  # its directory is here, no process is
    RUNNING = "running"
    PAUSED = "paused"
    CRASHED = "crashed"  # the process ended and nobody asked for it, nor did the guest


class ExitReason(StrEnum):
    """Why a VM's process ended."""

    GUEST = "guest"  # the program ended, or the guest powered itself off
    REQUEST = "request"  # powerdown() or kill() was called
    CRASH = "crash"  # QEMU died, or the guest's kernel panicked


@dataclass(frozen=True)
class Forward:
    """One port of the host that leads to one port of a guest's user-mode NIC."""

    protocol: str  # "tcp" or "udp"
    host_address: str  # IPv4
    host_port: int  # the port QEMU binds
    guest_port: int


@dataclass(frozen=True)
class UserNic:
    """A user-mode NIC: QEMU's own NAT (slirp). Nothing on the host is made for it."""

    mac: str
    network: str = "10.0.2.0/24"  # several NICs need one each
    forwards: tuple[Forward, ...] = ()


@dataclass(frozen=True)
class TapNic:
    """A NIC on a tap of the host."""

    mac: str
    fds: tuple[int, ...]  # open descriptors of the tap, one a queue; they stay the caller's to close once start() has returned


@dataclass(frozen=True)
class VmnetNic:
    """A NIC on the network of a macOS host's adapter, by that system's own vmnet. Nobody has tried it on a real one yet."""

    mac: str
    adapter: str  # "en0"


Nic = UserNic | TapNic | VmnetNic


@dataclass(frozen=True)
class Machine:
    """Everything a start needs. The driver asks nobody else.

    `initrd` parts are concatenated in order (cpio archives append); a Path is read by root, bytes are taken as they are.
    """

    id: UUID
    name: str  # for people reading the process list; [a-z0-9-] only
    uid: int  # the VM's own user id; its group id is the same number
    vcpus: int
    memory_mib: int
    kernel: Path
    initrd: tuple[Path | bytes, ...]
    cmdline: str
    nics: tuple[Nic, ...] = ()
    paused: bool = False
    arch: str = "x86_64"
    accelerator: str = "tcg"  # "kvm" or "tcg"


@dataclass(frozen=True)
class Exit:
    """How the last boot ended; None where the guest did not say."""

    reason: ExitReason
    code: int | None = None  # the program's exit code
    signal: int | None = None  # or the signal that ended it
    message: str = ""  # the tail of QEMU's stderr, for a crash


@dataclass(frozen=True)
class Observation:
    """One look at one VM.

    `pid` of a stopped or crashed one: QEMU is still there, holding the facts, the memory and the forwarded ports of a guest that has
    ended (so that no crash of ours can lose how it ended). Call kill() to lay it to rest; `exit` stays the same.

    `milestones` maps a name to seconds since the epoch: "qemu" (the QMP greeting), "first_byte" (of console output), "program"
    (the guest's init started it), "port:tcp:8080" (a watched port listens inside the guest). Unknown ones are left out. Between two looks
    at one boot the guest's own ones may move by some ms: keep what was seen first.
    """

    power: Power
    pid: int | None = None
    started_at: float | None = None  # seconds since the epoch, of this process
    boot: str = ""  # a new random id for each start(); "" when absent
    exit: Exit | None = None  # set when stopped or crashed after a boot
    milestones: Mapping[str, float] = field(default_factory=dict)
    limits: str = ""  # "" when cgroup limits hold, else the sentence why not


@dataclass(frozen=True)
class RunPaths:
    """Where one VM's files lie under the run and state directories. Paths of sockets stay under 107 bytes."""

    run: Path  # <run dir>/vm/<uuid>: sockets, record of the last start
    state: Path  # <state dir>/vm/<uuid>: console.log, status.log, stderr.log (root:opsweb, written by group for punching out old bytes)

    @property
    def control(self) -> Path:
        """QMP, for the worker: root, 0600."""
        return self.run / "control.sock"

    @property
    def watch(self) -> Path:
        """QMP, for the watcher: root:opsweb, 0660."""
        return self.run / "watch.sock"

    @property
    def typed(self) -> Path:
        """What people type on the guest's console, for the watcher to append to: a named pipe, of a fake VM a file. root:opsweb, 0660."""
        return self.run / "typed"

    @property
    def console_log(self) -> Path:
        """Every byte of the console; a byte's offset in it is its address for ever."""
        return self.state / "console.log"

    @property
    def status_log(self) -> Path:
        """What the guest's init says on the second serial port, of the last boot only."""
        return self.state / "status.log"

    @property
    def stderr_log(self) -> Path:
        """What QEMU itself had to say, of the last boot only."""
        return self.state / "stderr.log"


class DriverError(Exception):
    """A driver could not do what it was asked; the sentence is for the person who asked.

    `code` is stable and for programs: "start_failed", "not_running", "port_busy", "no_port", "refused", "timeout",
    "unsupported".
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Hypervisor(Protocol):
    """What the reconciler may ask of a host. Each call is idempotent, bounded in time and safe after a crash of the caller.

    Calls that change something are made under lock(); observe() and list() need none.
    """

    has_sockets: bool
    """True: a running VM listens on RunPaths.watch. False (the fake): its clock and console move on with each observe()."""

    def paths(self, vm: UUID) -> RunPaths:
        """Where the files of `vm` are or would be."""

    def lock(self, vm: UUID) -> AbstractContextManager[None]:
        """Hold `vm` alone among all processes of this host (flock: it dies with its holder). Waits up to 30 s.

        Raises: DriverError("timeout").
        """

    def list(self) -> list[UUID]:
        """Every VM that has anything on this host, running or not: a directory, or a process of this installation."""

    def observe(self, vm: UUID) -> Observation:
        """Look; change nothing. One whose QEMU is there and does not answer counts as running (what needs an answer raises "timeout")."""

    def start(self, machine: Machine) -> Observation:
        """Run it. Already running or paused: nothing happens; an ended one is laid to rest first. Returns once QMP greets.

        Raises: DriverError("start_failed") with QEMU's own sentence; nothing of the try is left running then.
        """

    def powerdown(self, vm: UUID) -> None:
        """Ask the guest to end (ACPI). Does not wait. Of a stopped or absent one: nothing.

        Raises: DriverError("not_running") when paused.
        """

    def kill(self, vm: UUID) -> None:
        """End the process now and wait until it is gone. Of a stopped or absent one: nothing."""

    def pause(self, vm: UUID) -> None:
        """Freeze its vCPUs. Raises: DriverError("not_running") unless running or paused."""

    def resume(self, vm: UUID) -> None:
        """Let them go on. Raises: DriverError("not_running") unless running or paused."""

    def reset(self, vm: UUID) -> None:
        """Hard reset of the running machine; the process stays. Raises: DriverError("not_running")."""

    def set_forwards(self, vm: UUID, nic: int, forwards: tuple[Forward, ...]) -> None:
        """Make the forwards of NIC number `nic`, a user-mode one, of the running or paused VM exactly these.

        Raises: DriverError("not_running"), DriverError("port_busy") naming the port; those that could be made stay.
        """

    def nic_ports(self, vm: UUID) -> Mapping[int, str]:
        """Where the running or paused VM has room for a NIC: number → the MAC of the one that is there, "" of a free one.

        NIC number n of the machine that was started has port n; behind these come SPARE_PORTS free ones.
        Raises: DriverError("not_running").
        """

    def attach_nic(self, vm: UUID, number: int, nic: TapNic) -> None:
        """Plug a NIC into a free port of the running or paused VM. One with its MAC is there already: nothing.

        The descriptors stay the caller's to close. Raises: DriverError("not_running"), DriverError("refused") with QEMU's own sentence,
        DriverError("no_port") where it is not free.
        """

    def detach_nic(self, vm: UUID, number: int) -> None:
        """Ask the guest for the NIC on this port, and wait up to RELEASE_TIMEOUT until it is gone with its tap's descriptors.

        Nothing where none is. Raises: DriverError("not_running"); DriverError("timeout") when the guest keeps it: it may still let go
        later, and all is as before until then. Once it has, a second call gives back what QEMU still holds of it.
        """

    def tap_of(self, vm: UUID, mac: str) -> AbstractContextManager[tuple[int, ...]]:
        """Copies of the descriptors by which the running or paused VM's NIC with this MAC holds its tap, also when that was deleted.

        One a queue; () where it has no such NIC. They are closed at the end. Raises: DriverError("not_running").
        """

    def erase(self, vm: UUID) -> None:
        """Kill it and remove everything of it, console log included. Of an absent one: nothing."""
