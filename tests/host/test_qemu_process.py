"""What holds of real QEMU processes only: their privileges and files, whose they are, and how their guests end."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import socket
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from instances.hypervisor import accel, identity, qemu
from instances.hypervisor.base import DriverError, ExitReason, Forward, Machine, Power
from instances.hypervisor.cgroups import mounted
from instances.hypervisor.tiny_guest import MARKER, PANIC, POWER_OFF, REBOOT
from tests.contract.hypervisors import TAG, UID, QemuRig, free_port, until

pytestmark = pytest.mark.host


def status_of(pid: int) -> dict[str, str]:
    lines = (line.partition(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {key: " ".join(value.split()) for key, _, value in lines}


class TestPrivileges:
    """INV-10."""

    def test_inv_10_qemu_has_its_own_uid_no_group_no_capability_and_the_sandbox(self, qemus: QemuRig):
        machine = qemus.machine()
        starter = multiprocessing.get_context("fork").Process(target=_start_with_groups, args=(qemus, machine))
        starter.start()
        starter.join(30)
        found = status_of(qemus.driver.observe(machine.id).pid)
        assert found["Uid"] == found["Gid"] == " ".join([str(UID)] * 4)
        assert found["Groups"] == ""
        assert {found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
        assert (found["Seccomp"], found["NoNewPrivs"]) == ("2", "1")

    def test_inv_10_qemu_sees_nothing_of_our_environment_or_directory(self, qemus: QemuRig, monkeypatch):
        monkeypatch.setenv("SECRET_KEY", "precious")
        pid = qemus.booted(qemus.machine()).pid
        assert Path(f"/proc/{pid}/environ").read_bytes() == b""
        assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")

    def test_inv_10_qemu_holds_no_descriptor_but_those_it_was_given(self, qemus: QemuRig):
        machine = qemus.machine()
        pid = qemus.booted(machine).pid
        paths = qemus.driver.paths
        (vm,) = qemus.driver.list()
        allowed = {
            str(paths(vm).typed),
            str(paths(vm).console_log),
            str(paths(vm).status_log),
            str(paths(vm).stderr_log),
            str(machine.kernel),
        }
        open_files = set()
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # our own last connection, which it closes just now
                open_files.add(str(link.readlink()))
        assert {name for name in open_files if name.startswith("/") and not name.startswith("/memfd:")} <= allowed

    def test_inv_10_sec_a8_sockets_logs_and_record_are_closed_to_others(self, qemus: QemuRig):
        machine = qemus.machine()
        qemus.driver = qemu.QemuHypervisor(qemus.root / "run", qemus.root / "state", group=4242, tag=TAG)
        qemus.driver.start(machine)
        paths = qemus.driver.paths(machine.id)
        expected = {
            paths.run: (0o750, 4242), paths.state: (0o750, 4242), paths.control: (0o600, 0), paths.watch: (0o660, 4242),
            paths.typed: (0o660, 4242), paths.console_log: (0o660, 4242), paths.status_log: (0o660, 4242),
            paths.stderr_log: (0o660, 4242), paths.run / "vm.json": (0o600, 0),
        }  # fmt: skip
        found = {path: path.stat() for path in expected}
        assert {path: (stat.S_IMODE(value.st_mode), value.st_gid) for path, value in found.items()} == expected
        assert {value.st_uid for value in found.values()} == {0}

    def test_inv_10_the_vms_own_user_reaches_none_of_its_sockets_and_logs(self, qemus: QemuRig):
        machine = qemus.machine()
        qemus.driver.start(machine)
        paths = qemus.driver.paths(machine.id)
        qemus.root.chmod(0o755)
        pid = os.fork()
        if pid == 0:
            os.setgroups([])
            os.setresgid(UID, UID, UID)
            os.setresuid(UID, UID, UID)
            os._exit(sum(_opens(path) for path in (paths.control, paths.watch, paths.typed, paths.console_log, paths.run / "vm.json")))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    def test_inv_10_it_sits_in_a_cgroup_of_its_own_where_the_host_has_cgroup_v2(self, qemus: QemuRig):
        machine = qemus.machine()
        seen = qemus.booted(machine)
        if mounted() is None:
            assert "no cgroup v2" in seen.limits
        else:
            assert f"/opsweb-{TAG}/{machine.id}" in Path(f"/proc/{seen.pid}/cgroup").read_text()
            qemus.driver.erase(machine.id)
            assert not (mounted() / f"opsweb-{TAG}").exists()

    def test_inv_10_a_vm_never_runs_as_root(self, qemus: QemuRig):
        with pytest.raises(DriverError, match="cannot run as root"):
            qemus.driver.start(replace(qemus.machine(), uid=0))


def _start_with_groups(rig: QemuRig, machine: Machine) -> None:
    os.setgroups([0, 4242])
    rig.again().start(machine)


def _opens(path: Path) -> bool:
    with contextlib.suppress(PermissionError):
        if path.suffix == ".sock":
            socket.socket(socket.AF_UNIX).connect(str(path))
        else:
            path.open("rb").close()
        return True
    return False


class TestSentences:
    """A start that fails says why, in QEMU's own words."""

    def test_a_busy_port(self, qemus: QemuRig):
        machine = qemus.machine()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            forward = replace(machine.nics[0].forwards[0], host_port=taken.getsockname()[1])
            with pytest.raises(DriverError, match="Could not set up host forwarding rule") as failed:
                qemus.driver.start(replace(machine, nics=(replace(machine.nics[0], forwards=(forward,)),)))
        assert failed.value.code == "start_failed"
        assert not failed.value.message.startswith("qemu-system")

    def test_a_busy_port_while_it_runs(self, qemus: QemuRig):
        machine = qemus.machine()
        qemus.driver.start(machine)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(DriverError, match=f"Port {port} on 127.0.0.1 is in use") as busy:
                qemus.driver.set_forwards(machine.id, 0, (Forward("tcp", "127.0.0.1", port, 80),))
        assert busy.value.code == "port_busy"

    def test_a_missing_kernel(self, qemus: QemuRig):
        with pytest.raises(DriverError, match="/nothing") as failed:
            qemus.driver.start(replace(qemus.machine(), kernel=Path("/nothing")))
        assert failed.value.code == "start_failed"

    def test_an_unknown_machine(self, qemus: QemuRig):
        with pytest.raises(DriverError, match="qemu-system-aarch64 is not installed|architecture"):
            qemus.driver.start(replace(qemus.machine(), arch="vax"))


class TestGuests:
    """Ends and reboots that a guest makes itself."""

    def test_a_guest_without_our_init_that_powers_off_ended_by_itself(self, qemus: QemuRig):
        machine = qemus.machine()
        qemus.booted(machine)
        qemus.type(machine.id, POWER_OFF)
        assert qemus.driver.observe(machine.id).exit.reason is ExitReason.GUEST
        assert qemus.driver.observe(machine.id).power is Power.STOPPED

    def test_a_kernel_panic_is_a_crash(self, qemus: QemuRig):
        machine = qemus.machine()
        qemus.booted(machine)
        qemus.type(machine.id, PANIC)
        seen = qemus.driver.observe(machine.id)
        assert (seen.power, seen.exit.reason) == (Power.CRASHED, ExitReason.CRASH)
        assert "panicked" in seen.exit.message
        qemus.driver.kill(machine.id)
        assert qemus.driver.observe(machine.id).exit == seen.exit

    def test_a_reboot_from_inside_keeps_the_process(self, qemus: QemuRig):
        machine = qemus.machine()
        first = qemus.booted(machine)
        with qemus.driver.paths(machine.id).typed.open("wb") as console:
            console.write(REBOOT)
        until(lambda: qemus.console(machine.id).count(MARKER) == 2)
        assert qemus.driver.observe(machine.id).pid == first.pid

    def test_a_silent_qemu_counts_as_running_and_can_be_killed(self, qemus: QemuRig, monkeypatch):
        machine = qemus.machine()
        pid = qemus.booted(machine).pid
        os.kill(pid, signal.SIGSTOP)
        monkeypatch.setattr(qemu.qmp.status, "__defaults__", (0.2,))
        assert qemus.driver.observe(machine.id).power is Power.RUNNING
        qemus.driver.kill(machine.id)
        assert qemus.driver.observe(machine.id).exit.reason is ExitReason.REQUEST

    def test_forwards_are_made_and_taken_back(self, qemus: QemuRig):
        machine = qemus.machine()
        first, second = machine.nics[0].forwards[0], Forward("tcp", "127.0.0.1", free_port(), 80)
        qemus.driver.start(machine)
        qemus.driver.set_forwards(machine.id, 0, (second,))
        assert (_bound(first.host_port), _bound(second.host_port)) == (False, True)
        qemus.driver.set_forwards(machine.id, 0, (first, second))
        assert (_bound(first.host_port), _bound(second.host_port)) == (True, True)


def _bound(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class TestOwnership:
    """INV-01, INV-07."""

    def test_inv_01_sigkill_of_the_starter_leaves_the_vm_running(self, qemus: QemuRig):
        machine = qemus.machine()
        starter = multiprocessing.get_context("fork").Process(target=_start_and_be_killed, args=(qemus, machine))
        starter.start()
        starter.join(30)
        assert starter.exitcode == -signal.SIGKILL
        seen = qemus.driver.observe(machine.id)
        assert seen.power is Power.RUNNING
        until(lambda: MARKER in qemus.console(machine.id))
        assert status_of(seen.pid)["PPid"] != str(os.getpid())
        qemus.driver.kill(machine.id)
        assert qemus.driver.observe(machine.id).pid is None

    def test_inv_01_signals_to_our_group_do_not_reach_it(self, qemus: QemuRig):
        pid = qemus.driver.start(qemus.machine()).pid
        assert os.getsid(pid) == os.getpgid(pid) == pid

    def test_inv_07_two_panels_never_see_each_others_vms(self, qemus: QemuRig):
        machine = qemus.machine()
        ours = qemus.booted(machine)
        other = qemu.QemuHypervisor(qemus.root / "run2", qemus.root / "state2", group=0, tag="two")
        assert other.list() == []
        assert other.observe(machine.id).power is Power.ABSENT
        other.kill(machine.id)
        other.erase(machine.id)
        theirs = other.start(replace(machine, nics=()))
        assert theirs.pid != ours.pid
        qemus.driver.erase(machine.id)
        assert other.observe(machine.id).power is Power.RUNNING
        other.erase(machine.id)

    def test_inv_03_a_vm_whose_directories_are_gone_is_still_listed_and_ended(self, qemus: QemuRig):
        machine = qemus.machine()
        pid = qemus.booted(machine).pid
        shutil.rmtree(qemus.root / "run")
        shutil.rmtree(qemus.root / "state")
        assert qemus.driver.list() == [machine.id]
        qemus.driver.erase(machine.id)
        assert identity.running(pid) is None
        assert qemus.driver.list() == []

    def test_inv_07_a_record_of_another_boot_of_the_host_is_history(self, qemus: QemuRig, monkeypatch):
        machine = qemus.machine()
        qemus.driver.start(machine)
        qemus.driver.kill(machine.id)
        monkeypatch.setattr(identity, "host_boot", lambda: "after the power cut")
        seen = qemus.driver.observe(machine.id)
        assert (seen.power, seen.exit, seen.boot) == (Power.STOPPED, None, "")


def _start_and_be_killed(rig: QemuRig, machine: Machine) -> None:
    rig.again().start(machine)
    os.kill(os.getpid(), signal.SIGKILL)


class TestProbe:
    """The accelerator is judged by a boot."""

    def test_a_guest_boots_to_its_end_and_leaves_nothing(self, qemus: QemuRig):
        assert accel.boot(qemus.root / "run", "tcg", uid=UID) == ""
        assert list((qemus.root / "run").iterdir()) == []

    def test_what_does_not_boot_says_why(self, qemus: QemuRig):
        assert "no such accelerator" in accel.boot(qemus.root / "run", "none", uid=UID)
        assert list((qemus.root / "run").iterdir()) == []

    def test_the_verdict_is_one_of_two_with_a_sentence(self, qemus: QemuRig):
        verdict = accel.probe(qemus.root / "run", uid=UID)
        assert verdict.accelerator in ("kvm", "tcg")
        assert verdict.sentence.endswith(".") or "KVM does not work here" in verdict.sentence

    def test_this_hosts_qemu_is_new_enough(self):
        assert accel.require_qemu() >= accel.OLDEST
