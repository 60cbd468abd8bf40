"""What this host's QEMU can do: its version, and whether KVM really works. For the worker's start and `make up`.

A /dev/kvm that opens proves nothing: some hosts offer a KVM in which a guest dies at once or never moves. So a guest is booted.
"""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from uuid import UUID, uuid4

from .argv import ARCHITECTURES
from .base import DriverError, Machine, Power
from .launch import DEVICE_KVM
from .qemu import QemuHypervisor
from .tiny_guest import MARKER, POWER_OFF, tiny_guest

OLDEST = (7, 1)  # the first that takes -chardev socket,fd= and logfile=/dev/fdset/ under the full sandbox
PATIENCE = 10.0  # seconds for each half of the boot; without KVM it takes 0.1

_VERSION = re.compile(r"QEMU emulator version (\d+)\.(\d+)")


class Verdict(NamedTuple):
    """What to run guests with, and why, in a sentence for people."""

    accelerator: str  # "kvm" or "tcg"
    sentence: str


def probe(run_dir: Path, *, uid: int) -> Verdict:
    """Find out by a real boot as user `uid`, under the VMs' own sandbox, in a directory of its own in `run_dir`. Takes a second."""
    if not DEVICE_KVM.exists():
        return Verdict("tcg", f"Guests run without hardware acceleration: this host has no {DEVICE_KVM}.")
    why_not = boot(run_dir, "kvm", uid=uid)
    if why_not:
        return Verdict("tcg", f"Guests run without hardware acceleration, KVM does not work here: {why_not}")
    return Verdict("kvm", "Guests run with KVM: a test guest booted and powered off.")


def boot(run_dir: Path, accelerator: str, *, uid: int) -> str:
    """Boot the tiny guest to its end. Returns "" when it went well, else what happened instead."""
    run_dir.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="p", dir=run_dir) as directory:
        kernel = Path(directory, "kernel")
        kernel.write_bytes(tiny_guest())
        hypervisor = QemuHypervisor(Path(directory, "r"), Path(directory, "s"), group=os.getegid(), tag="probe")
        machine = Machine(uuid4(), "probe", uid, 1, 64, kernel, (), "", accelerator=accelerator)
        try:
            hypervisor.start(machine)
            return _boot_to_the_end(hypervisor, machine.id)
        except DriverError as error:
            return error.message
        finally:
            hypervisor.erase(machine.id)


def require_qemu(arch: str = "x86_64") -> tuple[int, int]:
    """The version of this host's QEMU.

    Raises: DriverError("unsupported") when it is missing or too old.
    """
    binary = ARCHITECTURES[arch].binary
    if shutil.which(binary) is None:
        raise DriverError("unsupported", f"{binary} is not installed on this host.")
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    match = _VERSION.match(said)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    if version < OLDEST:
        raise DriverError("unsupported", f"QEMU {OLDEST[0]}.{OLDEST[1]} or newer is needed; {binary} says: {said.strip() or 'nothing'}")
    return version


def _boot_to_the_end(hypervisor: QemuHypervisor, vm: UUID) -> str:
    paths = hypervisor.paths(vm)
    until = time.monotonic() + PATIENCE
    while MARKER not in paths.console_log.read_bytes():
        seen = hypervisor.observe(vm)
        if seen.power is not Power.RUNNING:
            return f"the test guest ended at once ({seen.exit.message if seen.exit else seen.power})"
        if time.monotonic() > until:
            return f"the test guest said nothing for {PATIENCE:g} s"
        time.sleep(0.01)
    with paths.typed.open("wb") as console:
        console.write(POWER_OFF)
    until = time.monotonic() + PATIENCE
    while hypervisor.observe(vm).power is Power.RUNNING and time.monotonic() < until:
        time.sleep(0.01)
    return "" if hypervisor.observe(vm).power is Power.STOPPED else "the test guest did not power off"
