"""What every hypervisor driver keeps, in one class for both: the fake always, real QEMUs under `-m host`."""

import fcntl
import multiprocessing
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import uuid4

import pytest

from instances.hypervisor import hotplug, locks
from instances.hypervisor.base import SPARE_PORTS, DriverError, Exit, ExitReason, Forward, Observation, Power, TapNic
from tests.contract.hypervisors import IFF_NO_PI, IFF_TAP, IFF_VNET_HDR, TAP, TUNSETIFF, QemuRig, Rig, free_port, until

GONE = Observation(Power.ABSENT)
HOT, STARTED = "52:54:00:00:00:0a", "52:54:00:00:00:0b"
CALLS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("pause", "resume", "reset", "nic_ports"), ()),
    "set_forwards": (0, ()),
    "attach_nic": (1, TapNic(HOT, ())),
    "detach_nic": (1,),
}


def in_another_process(act: Callable[..., Any], *args: Any) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=act, args=args)
    process.start()
    return process


def killed_at_call(number: int, act: Callable[..., Any], *args: Any) -> bool:
    """Whether a process that did this was killed at that call of the drivers' code; else it was done before."""

    def run() -> None:
        calls = 0

        def count(frame: FrameType, event: str, _: Any) -> None:
            nonlocal calls
            calls += event == "call" and str(frame.f_globals.get("__name__")).startswith("instances.hypervisor.")
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        act(*args)
        sys.setprofile(None)

    process = in_another_process(run)
    process.join(40)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


class TestHypervisor:
    def test_of_an_unknown_vm_there_is_nothing(self, rig: Rig):
        vm = uuid4()
        assert rig.driver.observe(vm) == GONE
        assert rig.driver.list() == []
        rig.driver.kill(vm)
        rig.driver.powerdown(vm)
        rig.driver.erase(vm)
        assert rig.driver.observe(vm) == GONE

    def test_start(self, rig: Rig):
        machine = rig.machine()
        seen = rig.driver.start(machine)
        assert seen.power is Power.RUNNING
        assert seen.pid
        assert seen.boot
        assert seen.exit is None
        assert seen.started_at <= seen.milestones["qemu"] < seen.started_at + 20
        assert rig.driver.list() == [machine.id]
        assert seen.limits == "" or seen.limits.startswith("no limits here: ")

    def test_inv_05_a_second_start_changes_nothing(self, rig: Rig):
        machine = rig.machine()
        first = rig.driver.start(machine)
        second = rig.again().start(machine)
        assert (second.pid, second.boot) == (first.pid, first.boot)

    def test_the_guest_says_when_its_program_runs_and_listens(self, rig: Rig):
        seen = rig.booted(rig.machine())
        until(lambda: "port:tcp:8080" in rig.driver.observe(seen_id(rig)).milestones)
        milestones = rig.driver.observe(seen_id(rig)).milestones
        assert seen.started_at <= milestones["program"] <= milestones["port:tcp:8080"]

    def test_started_paused_it_waits(self, rig: Rig):
        machine = replace(rig.machine(), paused=True)
        assert rig.driver.start(machine).power is Power.PAUSED
        assert rig.driver.start(machine).power is Power.PAUSED
        rig.driver.resume(machine.id)
        assert rig.driver.observe(machine.id).power is Power.RUNNING
        until(lambda: rig.greeting(machine) in rig.console(machine.id))

    def test_pause_and_resume(self, rig: Rig):
        machine = rig.machine()
        boot = rig.booted(machine).boot
        for _ in range(2):  # the second of each finds it done
            rig.driver.pause(machine.id)
            assert rig.driver.observe(machine.id).power is Power.PAUSED
        for _ in range(2):
            rig.driver.resume(machine.id)
            assert rig.driver.observe(machine.id).power is Power.RUNNING
        assert rig.driver.observe(machine.id).boot == boot

    def test_powerdown_ends_the_guest_at_our_request(self, rig: Rig):
        machine = rig.machine()
        boot = rig.booted(machine).boot
        rig.driver.powerdown(machine.id)
        seen = rig.await_power(machine.id, Power.STOPPED)
        assert (seen.boot, seen.exit) == (boot, Exit(ExitReason.REQUEST))

    def test_what_has_ended_is_laid_to_rest_by_kill_and_keeps_how(self, rig: Rig):
        machine = rig.machine()
        rig.end_with_3(machine)
        ended = rig.await_power(machine.id, Power.STOPPED)
        assert ended.pid, "nobody looked yet: the facts must still be there"
        assert ended.exit == Exit(ExitReason.GUEST, code=3)
        for _ in range(2):
            rig.driver.kill(machine.id)
            seen = rig.again().observe(machine.id)
            assert (seen.power, seen.pid, seen.exit, seen.boot) == (Power.STOPPED, None, ended.exit, ended.boot)
        rig.driver.powerdown(machine.id)

    def test_start_after_an_end_boots_anew(self, rig: Rig):
        machine = rig.machine()
        rig.end_with_3(machine)
        ended = rig.await_power(machine.id, Power.STOPPED)
        again = rig.driver.start(machine)
        assert again.power is Power.RUNNING
        assert again.boot != ended.boot
        assert again.exit is None

    def test_kill(self, rig: Rig):
        machine = rig.machine()
        rig.booted(machine)
        for _ in range(2):
            rig.driver.kill(machine.id)
            seen = rig.driver.observe(machine.id)
            assert (seen.power, seen.pid, seen.exit) == (Power.STOPPED, None, Exit(ExitReason.REQUEST))

    def test_kill_of_a_paused_one(self, rig: Rig):
        machine = replace(rig.machine(), paused=True)
        rig.driver.start(machine)
        rig.driver.kill(machine.id)
        assert rig.driver.observe(machine.id).exit == Exit(ExitReason.REQUEST)

    def test_a_crash_is_seen_with_a_message(self, rig: Rig):
        machine = rig.machine()
        boot = rig.booted(machine).boot
        rig.crash(machine.id)
        seen = rig.driver.observe(machine.id)
        assert (seen.power, seen.pid, seen.boot, seen.exit.reason) == (Power.CRASHED, None, boot, ExitReason.CRASH)
        assert seen.exit.message
        rig.driver.kill(machine.id)
        assert rig.driver.observe(machine.id) == seen, "killing what is dead changes no fact"

    def test_inv_02_start_after_a_crash(self, rig: Rig):
        machine = rig.machine()
        rig.booted(machine)
        rig.crash(machine.id)
        assert rig.driver.start(machine).power is Power.RUNNING

    def test_reset_boots_the_guest_again_in_the_same_process(self, rig: Rig):
        machine = rig.machine()
        first = rig.booted(machine)
        rig.driver.reset(machine.id)
        until(lambda: rig.console(machine.id).count(rig.greeting(machine)) == 2)
        seen = rig.driver.observe(machine.id)
        assert (seen.power, seen.pid, seen.boot) == (Power.RUNNING, first.pid, first.boot)

    def test_console_bytes_keep_their_place_over_boots(self, rig: Rig):
        machine = rig.machine()
        rig.booted(machine)
        rig.driver.kill(machine.id)
        before = rig.console(machine.id)
        rig.driver.start(machine)
        until(lambda: rig.console(machine.id).count(rig.greeting(machine)) == 2)
        assert rig.console(machine.id).startswith(before)

    @pytest.mark.parametrize("call", CALLS)
    @pytest.mark.parametrize("state", ["absent", "stopped"])
    def test_what_needs_a_running_vm_says_so(self, rig: Rig, call: str, state: str):
        machine = rig.machine()
        if state == "stopped":
            rig.driver.start(machine)
            rig.driver.kill(machine.id)
        with pytest.raises(DriverError) as refused:
            getattr(rig.driver, call)(machine.id, *CALLS[call])
        assert refused.value.code == "not_running"

    @pytest.mark.parametrize("call", ["powerdown", "reset"])
    def test_what_a_paused_guest_cannot_answer_is_refused(self, rig: Rig, call: str):
        machine = replace(rig.machine(), paused=True)
        rig.driver.start(machine)
        with pytest.raises(DriverError) as refused:
            getattr(rig.driver, call)(machine.id)
        assert refused.value.code == "not_running"
        assert rig.driver.observe(machine.id).power is Power.PAUSED

    def test_forwards_change_while_it_runs(self, rig: Rig):
        machine = rig.machine()
        rig.booted(machine)
        wanted = (Forward("tcp", "127.0.0.1", free_port(), 80), Forward("udp", "127.0.0.1", free_port(), 53))
        for _ in range(2):
            rig.driver.set_forwards(machine.id, 0, wanted)
        rig.driver.set_forwards(machine.id, 0, ())
        assert rig.driver.observe(machine.id).power is Power.RUNNING

    def test_a_nic_on_a_tap_beside_a_user_mode_one(self, rig: Rig):
        fd = rig.tap()
        machine = rig.machine()
        machine = replace(machine, nics=(*machine.nics, TapNic("52:54:00:00:00:02", (fd,))))
        boot = rig.booted(machine).boot
        os.close(fd)  # it was ours until here
        seen = rig.driver.observe(machine.id)
        assert (seen.power, seen.boot) == (Power.RUNNING, boot)
        rig.driver.set_forwards(machine.id, 0, (Forward("tcp", "127.0.0.1", free_port(), 80),))
        if isinstance(rig, QemuRig):
            assert socket.if_nametoindex(TAP)
        rig.driver.kill(machine.id)
        with pytest.raises(OSError):  # nobody else inherited it
            socket.if_nametoindex(TAP)

    def test_a_nic_comes_and_goes_while_it_runs(self, rig: Rig):
        """Twice is once (INV-05); nobody keeps its tap (INV-03)."""
        machine = rig.machine()
        pid = rig.booted(machine).pid
        before, open_there = rig.driver.nic_ports(machine.id), descriptors(pid)
        assert before == {0: machine.nics[0].mac} | {1 + spare: "" for spare in range(SPARE_PORTS)}
        for _ in range(20):
            plug(rig, machine.id, 1)
            rig.driver.attach_nic(machine.id, 1, TapNic(HOT, ()))
            assert rig.driver.nic_ports(machine.id) == before | {1: HOT}
            for _ in range(2):
                rig.driver.detach_nic(machine.id, 1)
            assert rig.driver.nic_ports(machine.id) == before
        until(lambda: descriptors(pid) <= open_there)  # our last connection is one for a moment, then as now
        assert tap_is_gone(rig)
        assert rig.driver.observe(machine.id).power is Power.RUNNING

    def test_a_nic_that_it_was_started_with_goes_too(self, rig: Rig):
        fd = rig.tap()
        machine = rig.machine()
        machine = replace(machine, nics=(*machine.nics, TapNic(HOT, (fd,))))
        rig.booted(machine)
        os.close(fd)
        rig.driver.detach_nic(machine.id, 1)
        assert rig.driver.nic_ports(machine.id)[1] == ""
        assert tap_is_gone(rig)

    def test_t1_inv_02_attach_and_detach_killed_anywhere_are_made_again(self, rig: Rig):
        """At each call of ours for the fake, at every seventh for QEMU, until one is not reached any more."""
        machine = rig.machine()
        rig.booted(machine)
        before, step = rig.driver.nic_ports(machine.id), 7 if isinstance(rig, QemuRig) else 1
        for number in range(1, 1000, step):
            was_killed = killed_at_call(number, plug, rig, machine.id, 1)
            if rig.driver.nic_ports(machine.id)[1] != HOT:
                delete_tap(rig)  # as the fabric does before it makes one
                plug(rig, machine.id, 1)
            assert rig.driver.nic_ports(machine.id) == before | {1: HOT}
            was_killed |= killed_at_call(number, rig.driver.detach_nic, machine.id, 1)
            rig.driver.detach_nic(machine.id, 1)
            assert rig.driver.nic_ports(machine.id) == before
            assert tap_is_gone(rig)
            if not was_killed:
                break
        assert step < number < 999

    def test_the_tap_of_a_nic_that_came_while_it_runs_is_found(self, rig: Rig):
        """Also deleted, and under the number of one that its command line still names. Nothing stays open of it."""
        started = rig.tap()
        machine = rig.machine()
        machine = replace(machine, nics=(*machine.nics, TapNic(STARTED, (started,))))
        rig.booted(machine)
        os.close(started)
        rig.driver.detach_nic(machine.id, 1)
        plug(rig, machine.id, 1)
        delete_tap(rig)
        before = descriptors()
        for mac in (HOT, HOT.upper()):
            with rig.driver.tap_of(machine.id, mac) as fds:
                assert len(fds) == 1
                remake_tap(rig, fds[0])
        for mac in (STARTED, "52:54:00:00:00:99"):
            with rig.driver.tap_of(machine.id, mac) as fds:
                assert fds == ()
        assert descriptors() == before
        assert not (isinstance(rig, QemuRig) and tap_is_gone(rig)), "QEMU holds it"

    def test_the_tap_of_a_vm_that_does_not_run_is_not_asked_for(self, rig: Rig):
        with pytest.raises(DriverError) as refused, rig.driver.tap_of(uuid4(), HOT):
            pass
        assert refused.value.code == "not_running"

    def test_a_guest_that_keeps_a_nic_may_let_go_later(self, rig: Rig, monkeypatch: pytest.MonkeyPatch):
        """A paused one hears nothing; nothing has changed until it does."""
        monkeypatch.setattr(hotplug, "RELEASE_TIMEOUT", 0.3)
        machine = rig.machine()
        rig.booted(machine)
        plug(rig, machine.id, 1)
        rig.driver.pause(machine.id)
        for _ in range(2):
            with pytest.raises(DriverError) as kept:
                rig.driver.detach_nic(machine.id, 1)
            assert (kept.value.code, rig.driver.nic_ports(machine.id)[1]) == ("timeout", HOT)
            assert "Restart the instance to apply." in kept.value.message
        assert not (isinstance(rig, QemuRig) and tap_is_gone(rig))
        rig.driver.resume(machine.id)
        until(lambda: rig.driver.nic_ports(machine.id)[1] == "")
        rig.driver.detach_nic(machine.id, 1)
        assert tap_is_gone(rig)

    @pytest.mark.parametrize("number", [0, 1 + SPARE_PORTS])
    def test_a_port_that_is_not_free_is_refused(self, rig: Rig, number: int):
        machine = rig.machine()
        rig.booted(machine)
        before = rig.driver.nic_ports(machine.id)
        with pytest.raises(DriverError) as refused:
            plug(rig, machine.id, number)
        assert refused.value.code == "no_port"
        assert rig.driver.nic_ports(machine.id) == before
        assert tap_is_gone(rig)

    def test_erase_leaves_nothing(self, rig: Rig):
        machine = rig.machine()
        rig.driver.start(machine)
        rig.driver.kill(machine.id)
        with rig.driver.lock(machine.id):
            rig.driver.start(machine)
        with rig.driver.lock(machine.id):
            rig.driver.erase(machine.id)
        with rig.driver.lock(machine.id):
            assert rig.driver.observe(machine.id) == GONE
        assert rig.driver.list() == []
        assert [name for name in rig.files() if str(machine.id) in name] == []

    def test_a_start_that_fails_leaves_nothing(self, rig: Rig):
        machine = rig.machine()
        before = rig.files() | {"run", "run/vm", "state", "state/vm"}
        with pytest.raises(DriverError) as failed:
            self.failing_start(rig, machine)
        assert failed.value.code == "start_failed"
        assert failed.value.message
        assert rig.driver.observe(machine.id) == GONE
        assert rig.files() <= before
        assert rig.driver.start(machine).power is Power.RUNNING

    def test_a_start_that_fails_keeps_the_console_of_before(self, rig: Rig):
        machine = rig.machine()
        rig.booted(machine)
        rig.driver.kill(machine.id)
        before = rig.console(machine.id)
        with pytest.raises(DriverError):
            self.failing_start(rig, machine)
        assert rig.console(machine.id) == before
        assert rig.driver.observe(machine.id).power is Power.STOPPED

    @staticmethod
    def failing_start(rig: Rig, machine: Any) -> None:
        (rig.root / "run").mkdir(exist_ok=True)
        (rig.root / "run" / "fail_next_start").write_text("The host port is in use.")
        taken = free_port()
        nic = replace(machine.nics[0], forwards=(Forward("tcp", "127.0.0.1", taken, 1), Forward("tcp", "127.0.0.1", taken, 2)))
        try:
            rig.driver.start(replace(machine, nics=(nic,)))
        finally:
            (rig.root / "run" / "fail_next_start").unlink(missing_ok=True)

    def test_a_torn_record_hides_no_vm(self, rig: Rig):
        machine = rig.machine()
        first = rig.booted(machine)
        if isinstance(rig, QemuRig):  # the fake's record is all there is of it
            (rig.driver.paths(machine.id).run / "vm.json").write_text('{"boot"')
        seen = rig.driver.observe(machine.id)
        assert (seen.power, seen.pid) == (Power.RUNNING, first.pid)
        assert rig.driver.start(machine).pid == first.pid
        rig.driver.kill(machine.id)
        assert rig.driver.observe(machine.id).power is Power.STOPPED

    def test_inv_06_a_lock_has_one_holder_among_processes(self, rig: Rig, monkeypatch: pytest.MonkeyPatch):
        vm, there, leave = uuid4(), multiprocessing.Event(), multiprocessing.Event()
        other = in_another_process(hold, rig, vm, there, leave)
        assert there.wait(10)
        monkeypatch.setattr(locks, "WAIT", 0.1)
        with pytest.raises(DriverError) as busy, rig.driver.lock(vm):
            pass
        assert busy.value.code == "timeout"
        with rig.driver.lock(uuid4()):
            pass  # another VM's lock is free
        leave.set()
        with rig.driver.lock(vm):
            pass
        other.join(10)
        assert other.exitcode == 0

    def test_inv_06_who_erases_a_vm_holds_its_lock_to_the_end(self, rig: Rig, monkeypatch: pytest.MonkeyPatch):
        machine = rig.machine()
        monkeypatch.setattr(locks, "WAIT", 0.1)
        with rig.driver.lock(machine.id):
            rig.driver.start(machine)
            rig.driver.erase(machine.id)
            with pytest.raises(DriverError), rig.driver.lock(machine.id):
                pass
        assert [name for name in rig.files() if str(machine.id) in name] == []

    def test_inv_02_a_lock_dies_with_its_holder(self, rig: Rig):
        vm, there = uuid4(), multiprocessing.Event()
        other = in_another_process(hold, rig, vm, there, multiprocessing.Event())
        assert there.wait(10)
        other.kill()
        with rig.driver.lock(vm):
            pass
        other.join(10)

    def test_inv_06_starts_at_once_in_two_processes_make_one_vm(self, rig: Rig):
        machine = rig.machine()
        gate, pids = multiprocessing.Barrier(2), multiprocessing.SimpleQueue()
        starters = [in_another_process(start_at, gate, rig, machine, pids) for _ in range(2)]
        for starter in starters:
            starter.join(40)
            assert starter.exitcode == 0
        assert pids.get() == pids.get() == rig.driver.observe(machine.id).pid

    def test_no_descriptor_leaks(self, rig: Rig):
        machine = rig.machine()
        before = None
        for _ in range(20 if isinstance(rig, QemuRig) else 200):
            with rig.driver.lock(machine.id):
                rig.driver.start(machine)
                rig.driver.observe(machine.id)
                rig.driver.kill(machine.id)
            before = before or descriptors()
        rig.driver.erase(machine.id)
        assert descriptors() <= before  # fewer: what an earlier test left to the garbage collector

    def test_no_zombie_of_ours_is_left(self, rig: Rig):
        machine, threads = rig.machine(), threading.active_count()
        rig.driver.start(machine)
        another = in_another_process(rig.driver.kill, machine.id)  # only we, the parent, can reap it
        another.join(30)
        until(lambda: threading.active_count() == threads)
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)


def seen_id(rig: Rig) -> Any:
    (vm,) = rig.driver.list()
    return vm


def hold(rig: Rig, vm: Any, there: Any, leave: Any) -> None:
    with rig.again().lock(vm):
        there.set()
        leave.wait(30)


def start_at(gate: Any, rig: Rig, machine: Any, pids: Any) -> None:
    driver = rig.again()
    gate.wait(10)
    with driver.lock(machine.id):
        pids.put(driver.start(machine).pid)


def descriptors(pid: int | str = "self") -> int:
    """How many a process has; none of a fake one."""
    place = Path(f"/proc/{pid}/fd")
    return len(list(place.iterdir())) if place.exists() else 0


def plug(rig: Rig, vm: Any, number: int) -> None:
    """Give it a NIC on TAP, of which we keep no descriptor."""
    fd = rig.tap()
    try:
        rig.driver.attach_nic(vm, number, TapNic(HOT, (fd,)))
    finally:
        os.close(fd)


def delete_tap(rig: Rig) -> None:
    """As a stranger does; a fake guest's was never there."""
    if isinstance(rig, QemuRig):
        subprocess.run(["ip", "link", "delete", TAP], check=False, stderr=subprocess.DEVNULL)


def remake_tap(rig: Rig, fd: int) -> None:
    """Make it anew on a descriptor of the deleted one; the kernel refuses one of anything else."""
    delete_tap(rig)
    if isinstance(rig, QemuRig):
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", TAP.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))


def tap_is_gone(rig: Rig) -> bool:
    """A fake guest's was never there."""
    return not isinstance(rig, QemuRig) or TAP not in (name for _, name in socket.if_nameindex())
