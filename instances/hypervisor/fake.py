"""A host that is not there: the driver of demonstrations, UI tests and scale runs, needing no root and no QEMU.

It keeps the same promises as `qemu` (one contract suite holds both). Its state lies in files, so that worker, watcher and tests agree.
A file <run dir>/fail_next_start makes the next start fail with the sentence it holds.
"""

import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from uuid import UUID

from . import fake_guest, locks
from .base import DriverError, Exit, ExitReason, Forward, Machine, Observation, Power, RunPaths, TapNic
from .fake_guest import Guest

FIRST_PID = 5_000_000  # above any pid Linux gives, so that nobody can signal a real process by mistake

_LIMITS = "no limits here: this is a fake host"


class FakeHypervisor:
    """A `Hypervisor` (see there for what each call promises) that only pretends."""

    has_sockets = False

    def __init__(self, run_dir: Path, state_dir: Path, *, group: int = -1, clock: Callable[[], float] = time.time) -> None:
        """`group`: the gid to share its files with, where root runs one of the processes (-1: the process's own); `clock`: as time.time."""
        self._run = run_dir.resolve()
        self._state = state_dir.resolve()
        self._group = group
        self._clock = clock

    def paths(self, vm: UUID) -> RunPaths:
        return RunPaths(self._run / "vm" / str(vm), self._state / "vm" / str(vm))

    @contextmanager
    def lock(self, vm: UUID) -> Iterator[None]:
        self._make_directory(self._run / "locks")
        with locks.held(self._run / "locks", vm):
            try:
                yield
            finally:
                if not self._has_files(vm):
                    locks.remove(self._run / "locks", vm)

    def list(self) -> list[UUID]:
        found = set()
        for directory in (self._run / "vm", self._state / "vm"):
            for entry in directory.iterdir() if directory.is_dir() else ():
                with suppress(ValueError):
                    found.add(UUID(entry.name))
        return sorted(found)

    def observe(self, vm: UUID) -> Observation:
        with self._alone():
            guest = self._advanced(vm)
        if guest is None:
            return Observation(Power.STOPPED if self._has_files(vm) else Power.ABSENT)
        milestones = {"qemu": guest.greeted_at, **guest.milestones}
        return Observation(guest.power, guest.pid, guest.started_at, guest.boot, guest.exit, milestones, _LIMITS)

    def start(self, machine: Machine) -> Observation:
        with self._alone():
            guest = self._advanced(machine.id)
            if guest is None or not guest.live:
                self._fail_if_told_to()
                self._boot(machine)
        return self.observe(machine.id)

    def powerdown(self, vm: UUID) -> None:
        self._change(vm, lambda guest: fake_guest.pressed(guest, self._clock()))

    def kill(self, vm: UUID) -> None:
        self._change(vm, lambda guest: fake_guest.ended(guest, self._clock(), Power.STOPPED, Exit(ExitReason.REQUEST)))

    def crash(self, vm: UUID, message: str = "The fake QEMU was killed.") -> None:
        """What kill -9 of its QEMU would do; for tests and demonstrations."""
        facts = Exit(ExitReason.CRASH, message=message)
        self._change(vm, lambda guest: fake_guest.ended(guest, self._clock(), Power.CRASHED, facts))

    def pause(self, vm: UUID) -> None:
        self._change(vm, lambda guest: fake_guest.frozen(guest, self._clock()), Power.RUNNING, Power.PAUSED)

    def resume(self, vm: UUID) -> None:
        self._change(vm, lambda guest: fake_guest.thawed(guest, self._clock()), Power.RUNNING, Power.PAUSED)

    def reset(self, vm: UUID) -> None:
        self._change(vm, lambda guest: fake_guest.rebooted(guest, self._clock()), Power.RUNNING)

    def set_forwards(self, vm: UUID, nic: int, forwards: tuple[Forward, ...]) -> None:
        self._change(vm, lambda guest: guest, Power.RUNNING, Power.PAUSED)  # nothing listens on a fake host

    def nic_ports(self, vm: UUID) -> Mapping[int, str]:
        return dict(enumerate(self._live(vm, lambda guest: guest).macs))

    def attach_nic(self, vm: UUID, number: int, nic: TapNic) -> None:
        self._live(vm, lambda guest: fake_guest.given(guest, number, nic))

    def detach_nic(self, vm: UUID, number: int) -> None:
        fake_guest.need_released(self._live(vm, lambda guest: fake_guest.asked_for(guest, number)), number)

    @contextmanager
    def tap_of(self, vm: UUID, mac: str) -> Iterator[tuple[int, ...]]:
        guest = self._live(vm, lambda guest: guest)
        with ExitStack() as closing:
            fds = tuple(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC) for other in guest.macs if other == mac.lower())
            for fd in fds:
                closing.callback(os.close, fd)
            yield fds

    def erase(self, vm: UUID) -> None:
        with self._alone():
            for directory in (self.paths(vm).run, self.paths(vm).state):
                with suppress(FileNotFoundError):
                    shutil.rmtree(directory)
        locks.discard(self._run / "locks", vm)

    def _boot(self, machine: Machine) -> None:
        paths = self.paths(machine.id)
        for directory in (paths.run, paths.state):
            self._make_directory(directory)
        self._put(paths.typed, b"")
        pid = FIRST_PID + machine.id.int % 1_000_000
        self._save(paths, fake_guest.booted(machine, secrets.token_hex(8), pid, self._clock()))

    def _fail_if_told_to(self) -> None:
        with suppress(FileNotFoundError):
            sentence = (self._run / "fail_next_start").read_text().strip()
            (self._run / "fail_next_start").unlink()
            raise DriverError("start_failed", sentence or "The fake QEMU was told to fail.")

    def _advanced(self, vm: UUID) -> Guest | None:
        """The guest as it is by now, saved; None when it never started."""
        paths = self.paths(vm)
        before = _load(paths)
        if before is None:
            return None
        guest, output = fake_guest.advance(before, self._clock(), _typed(paths, before.typed))
        if output:
            self._append(paths.console_log, output)
        if guest != before:
            self._save(paths, guest)
        return guest

    def _change(self, vm: UUID, act: Callable[[Guest], Guest], *allowed: Power) -> Guest | None:
        """The guest as it is by now, changed. Raises: DriverError("not_running") unless it is in one of the `allowed` states."""
        with self._alone():
            guest = self._advanced(vm)
            power = guest.power if guest else Power.STOPPED
            if allowed and power not in allowed:
                raise DriverError("not_running", f"The VM is {power}, not {' or '.join(allowed)}.")
            if guest:
                guest = act(guest)
                self._save(self.paths(vm), guest)
            return guest

    def _live(self, vm: UUID, act: Callable[[Guest], Guest]) -> Guest:
        """The guest, changed, which runs or is paused. Raises: as _change."""
        guest = self._change(vm, act, Power.RUNNING, Power.PAUSED)
        assert guest is not None
        return guest

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One at a time among all processes that hold this fake host; short."""
        self._make_directory(self._run / "vm")
        fd = os.open(self._run / "vm", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _has_files(self, vm: UUID) -> bool:
        return self.paths(vm).run.exists() or self.paths(vm).state.exists()

    def _save(self, paths: RunPaths, guest: Guest) -> None:
        fresh = paths.run / "vm.json.new"
        self._put(fresh, json.dumps(asdict(guest)).encode())
        fresh.replace(paths.run / "vm.json")

    def _append(self, path: Path, data: bytes) -> None:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o660), "ab") as file:
            file.write(data)
        self._share(path, 0o660)

    def _put(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        self._share(path, 0o660)

    def _make_directory(self, path: Path) -> None:
        if not path.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            self._share(path, 0o770)

    def _share(self, path: Path, mode: int) -> None:
        if path.stat().st_uid == os.geteuid():
            os.chown(path, -1, self._group if os.geteuid() == 0 else -1)
            path.chmod(mode)


def _load(paths: RunPaths) -> Guest | None:
    try:
        data = json.loads((paths.run / "vm.json").read_text())
        facts = data.pop("exit")
        ended = Exit(**{**facts, "reason": ExitReason(facts["reason"])}) if facts else None
        return Guest(**{**data, "power": Power(data["power"])}, exit=ended)
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _typed(paths: RunPaths, offset: int) -> bytes:
    try:
        with paths.typed.open("rb") as file:
            file.seek(offset)
            return file.read()
    except FileNotFoundError:
        return b""
