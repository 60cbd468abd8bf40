"""The real driver: QEMU processes of this host, as root, for `instances.reconcile` alone.

QEMU is started under a uid of its own with everything handed over by descriptor (`launch`, `argv`) and outlives us. What is so is
read from the host each time: the record of the last start, /proc, QMP, the guest's status log. An ended guest's QEMU stays, stopped,
until kill(): that it powered off or panicked is thus known however long nobody looked.
"""

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from . import argv, endings, hotplug, identity, launch, locks, observing, qmp, record, usernet
from .base import DriverError, Forward, Machine, Observation, Power, RunPaths, TapNic
from .cgroups import Cgroups, mounted
from .identity import Process
from .record import Record

GREETING_TIMEOUT = 20.0  # seconds; QEMU greets within 0.1 s on an idle host
KILL_TIMEOUT = 10.0

_LONGEST = len("/vm/00000000-0000-0000-0000-000000000000/control.sock")


class QemuHypervisor:
    """A `Hypervisor` (see there for what each call promises) over QEMU ≥ 7.1."""

    has_sockets = True

    def __init__(self, run_dir: Path, state_dir: Path, *, group: int, tag: str) -> None:
        """`group`: the gid of the panel's own processes; `tag` names this installation in cgroup names.

        Raises: DriverError("unsupported") when a socket's path would be longer than a socket's path may be.
        """
        self._run = run_dir.resolve()
        self._state = state_dir.resolve()
        self._group = group
        self._cgroups = Cgroups(tag, mounted())
        if len(os.fsencode(self._run)) + _LONGEST > launch.MAX_SOCKET_PATH:
            longest = launch.MAX_SOCKET_PATH - _LONGEST
            raise DriverError("unsupported", f"The run directory {self._run} is too long for sockets: at most {longest} bytes.")

    def paths(self, vm: UUID) -> RunPaths:
        return RunPaths(self._run / "vm" / str(vm), self._state / "vm" / str(vm))

    @contextmanager
    def lock(self, vm: UUID) -> Iterator[None]:
        launch.make_directory(self._run / "locks", self._group)
        with locks.held(self._run / "locks", vm):
            try:
                yield
            finally:
                if not self._has_files(vm):
                    locks.remove(self._run / "locks", vm)

    def list(self) -> list[UUID]:
        found = {vm for _, vm in identity.find_all(self._run / "vm")}
        for directory in (self._run / "vm", self._state / "vm"):
            for entry in directory.iterdir() if directory.is_dir() else ():
                with suppress(ValueError):
                    found.add(UUID(entry.name))
        return sorted(found)

    def observe(self, vm: UUID) -> Observation:
        paths = self.paths(vm)
        last, process = self._look(vm)
        state = record.marked(paths.run, last.boot, "ended") if last else None
        if last and process and state is None:
            state = observing.state_of(paths, process)
            process = process if state else None  # it may have ended between the two looks
        if last and process and state not in endings.ENDED_STATES:
            return observing.going_on(paths, last, state, process)
        if last and last.process:
            return observing.ended(paths, last, state, process)
        return Observation(Power.STOPPED if self._has_files(vm) else Power.ABSENT)

    def start(self, machine: Machine) -> Observation:
        if (seen := self.observe(machine.id)).power in (Power.RUNNING, Power.PAUSED):
            return seen
        if seen.power is not Power.ABSENT:
            self.kill(machine.id)
        with ExitStack() as undo:
            try:
                seen = self._start(machine, undo)
            except (OSError, ValueError) as error:
                raise DriverError("start_failed", f"The VM cannot be started: {error}") from error
            undo.pop_all()
        return seen

    def powerdown(self, vm: UUID) -> None:
        power = self.observe(vm).power
        if power is Power.PAUSED:
            raise DriverError("not_running", "A paused VM cannot be asked to shut down; resume it first.")
        if power is Power.RUNNING:
            self._mark_asked(vm)
            self._ask(vm, "system_powerdown")

    def kill(self, vm: UUID) -> None:
        paths = self.paths(vm)
        _, recorded = self._look(vm)
        processes = {*identity.find(paths.run, vm), *([recorded] if recorded else [])}
        if processes:
            self._remember_ending(vm)
        for process in processes:
            if not identity.end(process, KILL_TIMEOUT):
                raise DriverError("timeout", f"QEMU (process {process.pid}) did not end within {KILL_TIMEOUT:g} s of being killed.")
        for path in (paths.control, paths.watch, paths.typed):
            path.unlink(missing_ok=True)
        self._cgroups.remove(vm)

    def pause(self, vm: UUID) -> None:
        self._require(vm, Power.RUNNING, Power.PAUSED)
        self._ask(vm, "stop")

    def resume(self, vm: UUID) -> None:
        self._require(vm, Power.RUNNING, Power.PAUSED)
        self._ask(vm, "cont")

    def reset(self, vm: UUID) -> None:
        self._require(vm, Power.RUNNING)
        self._ask(vm, "system_reset")

    def set_forwards(self, vm: UUID, nic: int, forwards: tuple[Forward, ...]) -> None:
        self._require(vm, Power.RUNNING, Power.PAUSED)
        present = usernet.forwards(self._monitor(vm, "info usernet"), f"net{nic}")
        for forward in sorted(present - set(forwards), key=argv.hostfwd):
            self._monitor(vm, f"hostfwd_remove net{nic} {argv.hostfwd(forward).partition('-')[0]}")
        for forward in sorted(set(forwards) - present, key=argv.hostfwd):
            refusal = self._monitor(vm, f"hostfwd_add net{nic} {argv.hostfwd(forward)}")
            if refusal:
                raise DriverError("port_busy", f"Port {forward.host_port} on {forward.host_address} is in use: {refusal}")

    def nic_ports(self, vm: UUID) -> Mapping[int, str]:
        self._require(vm, Power.RUNNING, Power.PAUSED)
        with _explained():
            return hotplug.ports(self.paths(vm).control)

    def attach_nic(self, vm: UUID, number: int, nic: TapNic) -> None:
        self._require(vm, Power.RUNNING, Power.PAUSED)
        with _explained():
            hotplug.attach(self.paths(vm).control, number, nic)

    def detach_nic(self, vm: UUID, number: int) -> None:
        self._require(vm, Power.RUNNING, Power.PAUSED)
        with _explained():
            hotplug.detach(self.paths(vm).control, number)

    @contextmanager
    def tap_of(self, vm: UUID, mac: str) -> Iterator[tuple[int, ...]]:
        self._require(vm, Power.RUNNING, Power.PAUSED)
        with _explained():
            numbers = hotplug.tap_numbers(self.paths(vm).control, mac)
        _, process = self._look(vm)
        with identity.copies(process, numbers) as fds:
            yield fds

    def erase(self, vm: UUID) -> None:
        self.kill(vm)
        for directory in (self.paths(vm).run, self.paths(vm).state):
            with suppress(FileNotFoundError):
                shutil.rmtree(directory)
        locks.discard(self._run / "locks", vm)

    def _has_files(self, vm: UUID) -> bool:
        return self.paths(vm).run.exists() or self.paths(vm).state.exists()

    def _look(self, vm: UUID) -> tuple[Record | None, Process | None]:
        """The last start of this boot of the host, and its process while it runs.

        A caller that was killed in the middle of start() left a process without a record of it: that is found by looking at all.
        """
        run = self.paths(vm).run
        last = record.read(run)
        if last and last.host_boot != identity.host_boot():
            return None, None
        if last and last.process:
            return last, last.process if identity.is_alive(last.process) else None
        found = identity.search(run, vm, was_spawned=last is not None)
        if not found:
            return last, None
        return (last or record.lost(found[0])).born(found[0]), found[0]

    def _remember_ending(self, vm: UUID) -> None:
        """Before its process goes: whether the guest had ended by itself, else that it was us."""
        paths = self.paths(vm)
        last, process = self._look(vm)
        if last is None or process is None or record.marked(paths.run, last.boot, "ended"):
            return
        state = observing.state_of(paths, process)
        if state in endings.ENDED_STATES:
            record.mark(paths.run, last.boot, "ended", str(state))
        else:
            record.mark(paths.run, last.boot, "asked")

    def _mark_asked(self, vm: UUID) -> None:
        last, _ = self._look(vm)
        if last:
            record.mark(self.paths(vm).run, last.boot, "asked")

    def _require(self, vm: UUID, *powers: Power) -> None:
        power = self.observe(vm).power
        if power not in powers:
            raise DriverError("not_running", f"The VM is {power}, not {' or '.join(powers)}.")

    def _ask(self, vm: UUID, command: str) -> None:
        with _explained():
            qmp.ask(self.paths(vm).control, command)

    def _monitor(self, vm: UUID, line: str) -> str:
        with _explained():
            return qmp.monitor(self.paths(vm).control, line)

    def _start(self, machine: Machine, undo: ExitStack) -> Observation:
        """Everything from directories to QEMU's first answer; each step's undo is registered before it can have done anything."""
        paths = self.paths(machine.id)
        self._make_directories(paths, undo)
        undo.callback(self._cgroups.remove, machine.id)
        limits = self._cgroups.prepare(machine)
        undo.callback(self._end_all, machine.id)
        child, last = self._spawn(machine, paths, limits)
        return self._await_answer(machine, paths, child, last)

    def _make_directories(self, paths: RunPaths, undo: ExitStack) -> None:
        for directory in (paths.run, paths.state):
            launch.make_directory(directory.parent, self._group)
            if directory is paths.run or not directory.exists():
                undo.callback(shutil.rmtree, directory, ignore_errors=True)
            launch.make_directory(directory, self._group)

    def _spawn(self, machine: Machine, paths: RunPaths, limits: str) -> tuple[subprocess.Popen[bytes], Record]:
        """Record the start and make it."""
        with launch.opened(machine, paths, self._group) as files:
            command = argv.command_line(machine, files.fds, identity.mark(paths.run))
            boot = secrets.token_hex(8)
            last = Record(boot, identity.host_boot(), command, machine.accelerator, limits, time.time())
            record.write(paths.run, last)
            record.forget_marks(paths.run)
            return launch.spawn(machine, command, files), last

    def _await_answer(self, machine: Machine, paths: RunPaths, child: subprocess.Popen[bytes], last: Record) -> Observation:
        process = identity.running(child.pid)
        if process:
            unattached = self._cgroups.attach(machine.id, child.pid)
            last = replace(last.born(process), limits=last.limits or unattached)
            record.write(paths.run, last)
        try:
            state = qmp.status(paths.control, GREETING_TIMEOUT)
        except (qmp.MonitorGone, qmp.MonitorSilent):
            raise DriverError("start_failed", launch.last_words(child, argv.binary(machine), paths.stderr_log)) from None
        last = last.greeted(time.time())
        record.write(paths.run, last)
        return observing.going_on(paths, last, state, process)

    def _end_all(self, vm: UUID) -> None:
        run = self.paths(vm).run
        for process in identity.search(run, vm, was_spawned=record.read(run) is not None):
            identity.end(process, KILL_TIMEOUT)


@contextmanager
def _explained() -> Iterator[None]:
    """QMP's errors as a driver's: what QEMU refuses after we looked, it refuses because the guest's state changed."""
    try:
        yield
    except qmp.Refused as error:
        raise DriverError("not_running", f"The VM's state changed meanwhile: {error}") from None
    except (qmp.MonitorGone, qmp.MonitorSilent) as error:
        raise DriverError("timeout", f"QEMU does not answer ({error}); force off ends it.") from None
