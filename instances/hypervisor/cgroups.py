"""A cgroup (v2) per VM, for `qemu`: limits where the host can hold them, else the sentence why not.

Its own cgroup also keeps a VM alive when the container that its worker runs in is restarted. The files are those of the kernel's
Documentation/admin-guide/cgroup-v2.rst.
"""

import time
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from .argv import memory_budget_mib
from .base import Machine

CONTROLLERS = ("cpu", "memory", "pids")
MAX_THREADS = 256  # of one QEMU: vCPUs, its I/O workers (at most 64) and a few of its own

_PERIOD = 100_000  # µs


def mounted(mounts: Path = Path("/proc/self/mounts")) -> Path | None:
    """Where this host has its cgroup v2 hierarchy; None when it has none."""
    lines = (line.split() for line in mounts.read_text().splitlines())
    return next((Path(fields[1]) for fields in lines if fields[2] == "cgroup2"), None)


def limits(machine: Machine) -> dict[str, str]:
    """What to write into which file of the VM's cgroup. Half a CPU more than it has vCPUs is for QEMU's own thread."""
    return {
        "cpu.max": f"{machine.vcpus * _PERIOD + _PERIOD // 2} {_PERIOD}",
        "memory.max": str(memory_budget_mib(machine) << 20),
        "pids.max": str(MAX_THREADS),
    }


class Cgroups:
    """The cgroups of one installation: <hierarchy>/opsweb-<tag>/<uuid>."""

    def __init__(self, tag: str, hierarchy: Path | None) -> None:
        """`tag` names the installation; `hierarchy` is what mounted() says."""
        self._hierarchy = hierarchy
        self._ours = hierarchy / f"opsweb-{tag}" if hierarchy else None

    def prepare(self, machine: Machine) -> str:
        """Make the VM's cgroup and set its limits. Returns "" when they hold, else the sentence why not."""
        if self._hierarchy is None or self._ours is None:
            return "no limits here: this host has no cgroup v2 hierarchy"
        try:
            self._make(self._ours / str(machine.id))
            missing = [name for name in CONTROLLERS if name not in (self._hierarchy / "cgroup.controllers").read_text().split()]
            if missing:
                return f"no limits here: cgroup v2 of this host has no controller for {', '.join(missing)}"
            self._limit(self._hierarchy, self._ours, machine)
        except OSError as error:
            return f"no limits here: {error.filename or self._ours}: {error.strerror}"
        return ""

    def attach(self, vm: UUID, pid: int) -> str:
        """Put the process into the VM's cgroup. Returns "" or the sentence why not."""
        try:
            if self._ours and (self._ours / str(vm)).is_dir():
                (self._ours / str(vm) / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            return f"no limits here: {self._ours}/{vm}: {error.strerror}"
        return ""

    def remove(self, vm: UUID) -> None:
        """Remove the cgroup of a VM whose process has ended (the kernel takes some ms to find it empty), and ours with the last."""
        directory = self._ours / str(vm) if self._ours else None
        until = time.monotonic() + 1
        while directory and directory.is_dir() and time.monotonic() < until:
            try:
                directory.rmdir()
            except OSError:
                time.sleep(0.01)
        with suppress(OSError):
            if self._ours:
                self._ours.rmdir()

    def _make(self, directory: Path) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError:  # the last VM's end removed the parent just now
            directory.mkdir(parents=True, exist_ok=True)

    def _limit(self, hierarchy: Path, ours: Path, machine: Machine) -> None:
        enable = " ".join(f"+{name}" for name in CONTROLLERS)
        (hierarchy / "cgroup.subtree_control").write_text(enable)
        (ours / "cgroup.subtree_control").write_text(enable)
        for name, value in limits(machine).items():
            (ours / str(machine.id) / name).write_text(value)
