"""Which processes of this host are QEMUs of ours: judged by pid and start time, or found by run directory and uuid (INV-07).

The name a QEMU is started under (argv[0]) lies in its VM's run directory, which no user text can reach; so two panels on one
host never take each other's VM for their own, and one whose record is lost is still found.
"""

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process of this boot of the host, for ever: a reused pid has another start time."""

    pid: int
    start: int  # clock ticks since the host's boot, proc(5) stat field 22


def host_boot() -> str:
    """An id of this boot of the host."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def started_at(process: Process) -> float:
    """When it began, in seconds since the epoch."""
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - process.start / os.sysconf("SC_CLK_TCK")
    return time.time() - age


def running(pid: int) -> Process | None:
    """The process that has this pid now; None when there is none or only its zombie."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else Process(pid, int(fields[19]))


def is_alive(process: Process) -> bool:
    """Whether exactly this process runs now. Its name is not asked: it is its own to change, and a guest may have broken out into it."""
    return running(process.pid) == process


def find(run: Path, vm: UUID) -> list[Process]:
    """Every QEMU of `vm` under the run directory `run`, by looking at all processes."""
    return [process for process, found in find_all(run.parent) if found == vm]


def find_all(vms: Path) -> Iterator[tuple[Process, UUID]]:
    """Every QEMU whose VM's run directory lies in `vms`, and its VM."""
    for name in os.listdir(_PROC):  # noqa: PTH208 - of all processes: pathlib takes three times as long
        vm = _vm_of(_arguments(int(name)), vms) if name.isdigit() else None
        process = running(int(name)) if vm else None
        if vm and process:
            yield process, vm


def argv0(run: Path, binary: str) -> str:
    """The name to start QEMU under."""
    return str(run / binary)


def end(process: Process, timeout: float) -> bool:
    """SIGKILL it and wait until it is gone, child of ours or not; False when it was still there after `timeout` seconds."""
    with _opened(process) as pidfd:
        if pidfd is None:
            return True
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        return _gone(pidfd, timeout)


def gone(process: Process, timeout: float) -> bool:
    """Wait until it has ended; False when it was still there after `timeout` seconds."""
    with _opened(process) as pidfd:
        return pidfd is None or _gone(pidfd, timeout)


@contextmanager
def _opened(process: Process) -> Iterator[int | None]:
    """A pidfd of `process`; None when it has ended."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        # Looked at after pidfd_open: the descriptor is of this process or its pid belongs to another now.
        yield pidfd if running(process.pid) == process else None
    finally:
        os.close(pidfd)


def _gone(pidfd: int, timeout: float) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


def _arguments(pid: int) -> list[str]:
    try:
        with open(f"{_PROC}/{pid}/cmdline", "rb") as file:
            return os.fsdecode(file.read()).split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def _vm_of(argv: list[str], vms: Path) -> UUID | None:
    """The VM of a command line: named twice, by the directory in argv[0] and by -uuid."""
    if not argv or not argv[0].startswith(f"{vms}/"):
        return None
    name = Path(argv[0]).parent
    if name.parent != vms or not any(pair == ("-uuid", name.name) for pair in zip(argv[1:], argv[2:], strict=False)):
        return None
    try:
        return UUID(name.name)
    except ValueError:
        return None
