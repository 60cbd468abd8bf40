"""No crash of ours, at any step of start, kill and erase, loses a real QEMU, doubles it or leaves anything of it."""

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from instances.hypervisor import identity, launch, qemu, record
from instances.hypervisor.base import DriverError, ExitReason, Power
from instances.hypervisor.cgroups import Cgroups
from instances.hypervisor.tiny_guest import MARKER
from tests.contract.hypervisors import QemuRig, until

pytestmark = pytest.mark.host

# Each thing that start() does to the host, and how often: (where, name, which call of it)
STEPS = [
    *((launch, "make_directory", call) for call in range(4)),
    (Cgroups, "prepare", 0),
    *((launch, "listen", call) for call in range(2)),
    (launch, "make_pipe", 0),
    *((launch, "open_log", call) for call in range(3)),
    (launch, "open_kernel", 0),
    (record, "write", 0),
    (record, "forget_marks", 0),
    (launch, "spawn", 0),
    (Cgroups, "attach", 0),
    (record, "write", 1),
    (qemu.qmp, "status", 0),
    (record, "write", 2),
]
ENDS = [(identity, "find", 0), (record, "mark", 0), (identity, "end", 0), (Path, "unlink", 0), (Path, "unlink", 2), (Cgroups, "remove", 0)]
ERASURES = [(shutil, "rmtree", 0), (shutil, "rmtree", 1), (qemu.locks, "remove", 0)]


def _name(step: tuple[Any, str, int]) -> str:
    return f"{step[0].__name__.rpartition('.')[2]}.{step[1]}-{step[2]}"


def intercept(step: tuple[Any, str, int], act: Callable[[], None], *, before: bool) -> Callable[[], None]:
    """Call `act` just before or after one call of a step; returns what takes that back."""
    where, name, wanted = step
    real, calls = getattr(where, name), []

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        mine = len(calls) == wanted + 1
        if mine and before:
            act()
        result = real(*args, **kwargs)
        if mine and not before:
            act()
        return result

    setattr(where, name, wrapped)
    return lambda: setattr(where, name, real)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    raise OSError("No space left on device")


def killed_at(step: tuple[Any, str, int], before: bool, act: Callable[[], Any]) -> None:
    """`act` in a process that is killed at the step."""

    def run() -> None:
        intercept(step, die, before=before)
        act()

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(40)
    assert process.exitcode == -signal.SIGKILL, "the step was not reached"


def qemus_of(rig: QemuRig, vm: UUID) -> int:
    return len(identity.find(rig.driver.paths(vm).run, vm))


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
class TestEveryStep:
    """INV-02, INV-03, INV-05: start, kill and erase, broken at each step, then made again."""

    @pytest.mark.parametrize("step", STEPS, ids=_name)
    def test_inv_02_start_killed_at_a_step_is_found_or_made_again(self, qemus: QemuRig, step, before):
        machine = qemus.machine()
        killed_at(step, before, lambda: qemus.driver.start(machine))
        assert qemus.driver.observe(machine.id).power in (Power.ABSENT, Power.STOPPED, Power.RUNNING)
        assert qemus.driver.start(machine).power is Power.RUNNING
        assert qemus_of(qemus, machine.id) == 1
        until(lambda: MARKER in qemus.console(machine.id))
        qemus.driver.erase(machine.id)
        assert qemus_of(qemus, machine.id) == 0
        assert [name for name in qemus.files() if str(machine.id) in name] == []

    @pytest.mark.parametrize("step", STEPS, ids=_name)
    def test_inv_03_start_killed_at_a_step_and_erased_leaves_nothing(self, qemus: QemuRig, step, before):
        machine = qemus.machine()
        killed_at(step, before, lambda: qemus.driver.start(machine))
        qemus.driver.erase(machine.id)
        assert qemus_of(qemus, machine.id) == 0
        assert qemus.driver.list() == []

    @pytest.mark.parametrize("step", STEPS, ids=_name)
    def test_inv_03_start_failing_at_a_step_leaves_nothing(self, qemus: QemuRig, step, before):
        machine = qemus.machine()
        restore = intercept(step, fail, before=before)
        with pytest.raises(DriverError, match="No space left on device") as failed:
            qemus.driver.start(machine)
        restore()
        assert failed.value.code == "start_failed"
        assert qemus_of(qemus, machine.id) == 0
        assert [name for name in qemus.files() if str(machine.id) in name] == []
        assert qemus.driver.start(machine).power is Power.RUNNING

    @pytest.mark.parametrize("step", ENDS, ids=_name)
    def test_inv_02_kill_killed_at_a_step_is_finished_by_the_next(self, qemus: QemuRig, step, before):
        machine = qemus.machine()
        qemus.booted(machine)
        killed_at(step, before, lambda: qemus.driver.kill(machine.id))
        qemus.driver.kill(machine.id)
        seen = qemus.driver.observe(machine.id)
        assert (seen.power, seen.pid, seen.exit.reason) == (Power.STOPPED, None, ExitReason.REQUEST)
        assert not qemus.driver.paths(machine.id).control.exists()

    @pytest.mark.parametrize("step", ENDS, ids=_name)
    def test_inv_02_how_a_guest_ended_outlives_a_kill_that_is_killed(self, qemus: QemuRig, step, before):
        machine = qemus.machine()
        qemus.end_with_3(machine)
        killed_at(step, before, lambda: qemus.driver.kill(machine.id))
        assert qemus.driver.observe(machine.id).exit.code == 3
        qemus.driver.kill(machine.id)
        assert qemus.driver.observe(machine.id).exit.reason is ExitReason.GUEST

    @pytest.mark.parametrize("step", [*ENDS, *ERASURES], ids=_name)
    def test_inv_03_erase_killed_at_a_step_is_finished_by_the_next(self, qemus: QemuRig, step, before):
        machine = qemus.machine()
        qemus.booted(machine)

        def erase() -> None:
            with qemus.driver.lock(machine.id):
                qemus.driver.erase(machine.id)

        killed_at(step, before, erase)
        erase()
        assert qemus_of(qemus, machine.id) == 0
        assert [name for name in qemus.files() if str(machine.id) in name] == []
