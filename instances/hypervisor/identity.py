"""Which processes of this host are QEMUs of ours: judged by pid and start time, or found by run directory and uuid (INV-07).

A QEMU's command line names its VM twice: by -uuid, and by the VM's run directory where no user text can get (`mark`). So two panels on
one host never take each other's VM for their own, and one whose record is lost is still found.
"""

import ctypes
import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

EXEC_TIME = 0.1  # seconds, more than a program needs to become another

_PROC = Path("/proc")
_MARK = "opaque="
_PIDFD_GETFD = 438  # on every architecture that we know
_libc = ctypes.CDLL(None, use_errno=True)


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


def search(run: Path, vm: UUID, *, was_spawned: bool) -> list[Process]:
    """As `find`; one that was just spawned may be in the middle of becoming QEMU and bears no marks for a moment, so look twice."""
    found = find(run, vm) if run.exists() else []
    if was_spawned and not found:
        time.sleep(EXEC_TIME)
        found = find(run, vm)
    return found


def find_all(vms: Path) -> Iterator[tuple[Process, UUID]]:
    """Every QEMU whose VM's run directory lies in `vms`, and its VM."""
    for name in os.listdir(_PROC):  # noqa: PTH208 - of all processes: pathlib takes three times as long
        vm = _vm_of(_command_line(int(name)), vms) if name.isdigit() else None
        process = running(int(name)) if vm else None
        if vm and process:
            yield process, vm


def mark(run: Path) -> str:
    """What a command line says beside `-add-fd` of the run directory it belongs to; QEMU keeps such a string and makes nothing of it."""
    return f"{_MARK}{str(run).replace(',', ',,')}"


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
def copies(process: Process | None, numbers: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Copies of the process's descriptors with these numbers (pidfd_getfd(2)), closed at the end; () when it has ended. Raises: OSError."""
    with ExitStack() as closing:
        pidfd = closing.enter_context(_opened(process)) if process else None
        yield tuple(_copy(pidfd, number, closing) for number in numbers) if pidfd is not None else ()


def _copy(pidfd: int, number: int, closing: ExitStack) -> int:
    copy = int(_libc.syscall(_PIDFD_GETFD, pidfd, number, 0))
    if copy < 0:
        raise OSError(ctypes.get_errno(), f"Descriptor {number} of QEMU is out of reach: {os.strerror(ctypes.get_errno())}")
    closing.callback(os.close, copy)
    return copy


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


def _command_line(pid: int) -> bytes:
    try:
        with open(f"{_PROC}/{pid}/cmdline", "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _vm_of(command_line: bytes, vms: Path) -> UUID | None:
    """The VM that a command line names by both, if its run directory lies in `vms`."""
    beginning = mark(vms)
    if os.fsencode(beginning) not in command_line:  # nearly every process
        return None
    words = os.fsdecode(command_line).split("\0")
    pairs = set(zip(words, words[1:], strict=False))
    marks = [word.partition(f",{beginning}/")[2] for option, word in pairs if option == "-add-fd"]
    named = {name for name in marks if ("-uuid", name) in pairs}
    with suppress(ValueError):
        return UUID(named.pop()) if len(named) == 1 else None
    return None
