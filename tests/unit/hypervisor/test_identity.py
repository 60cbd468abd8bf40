"""Which process is whose (INV-07), with plain processes that bear the marks of a QEMU."""

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from instances.hypervisor import identity
from instances.hypervisor.identity import Process

Namesake = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def namesake() -> Iterator[Namesake]:
    """A process that bears the marks of a VM's QEMU and does nothing."""
    children: list[subprocess.Popen[bytes]] = []

    def start(run: Path, vm: UUID, option: str = "-add-fd") -> subprocess.Popen[bytes]:
        argv = ["/bin/bash", "-c", "echo; read line", "-uuid", str(vm), option, f"fd=3,set=1,{identity.mark(run)}"]
        children.append(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        children[-1].stdout.readline()  # Popen returns a moment before the new command line can be read
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture
def vm() -> UUID:
    return uuid4()


@pytest.fixture
def run(tmp_path: Path, vm: UUID) -> Path:
    return tmp_path / "vm" / str(vm)


def test_inv_07_found_by_run_directory_and_uuid(namesake, run, vm):
    child = namesake(run, vm)
    (found,) = identity.find(run, vm)
    assert found.pid == child.pid
    assert identity.is_alive(found)


def test_inv_07_another_panels_vm_of_the_same_uuid_is_not_ours(namesake, run, vm, tmp_path):
    namesake(tmp_path / "other" / "vm" / str(vm), vm)
    namesake(tmp_path / "vm-more" / str(vm), vm)
    assert identity.find(run, vm) == []


def test_inv_07_directory_and_uuid_must_agree(namesake, run, vm):
    namesake(run, uuid4())
    assert identity.find(run, vm) == []


def test_inv_07_a_directory_may_have_a_comma_in_its_name(namesake, tmp_path, vm):
    run = tmp_path / "a,b" / "vm" / str(vm)
    child = namesake(run, vm)
    assert [process.pid for process in identity.find(run, vm)] == [child.pid]


def test_inv_07_the_mark_of_another_option_is_none(namesake, run, vm):
    namesake(run, vm, option="-name")
    assert identity.find(run, vm) == []


def test_inv_07_a_reused_pid_is_another_process(namesake, run, vm):
    child = namesake(run, vm)
    now = identity.running(child.pid)
    before = replace(now, start=now.start - 1)
    assert not identity.is_alive(before)
    assert identity.end(before, 1)
    assert child.poll() is None, "a process with another start time was killed"


def test_copies_of_descriptors_are_open_for_a_while(namesake, run, vm):
    process = identity.running(namesake(run, vm).pid)
    with identity.copies(process, (0, 2)) as fds:
        assert [os.fstat(fd).st_ino for fd in fds] == [Path(f"/proc/{process.pid}/fd/{number}").stat().st_ino for number in (0, 2)]
    for fd in fds:
        with pytest.raises(OSError):
            os.fstat(fd)


def test_a_descriptor_that_is_not_there_closes_the_others(namesake, run, vm):
    process = identity.running(namesake(run, vm).pid)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="out of reach"), identity.copies(process, (0, 999)):
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_inv_07_no_descriptor_is_taken_of_another_process_or_of_none(namesake, run, vm):
    now = identity.running(namesake(run, vm).pid)
    for process in (replace(now, start=now.start - 1), None):
        with identity.copies(process, (0,)) as fds:
            assert fds == ()


def test_inv_07_a_zombie_does_not_run(namesake, run, vm):
    child = namesake(run, vm)
    process = identity.running(child.pid)
    assert identity.end(process, 5)
    assert Path(f"/proc/{child.pid}").exists(), "it is not reaped yet, so this tests a zombie"
    assert identity.running(child.pid) is None
    assert not identity.is_alive(process)


def test_ending_what_has_ended_is_fine(namesake, run, vm):
    child = namesake(run, vm)
    process = identity.running(child.pid)
    child.kill()
    child.wait()
    assert identity.end(process, 1)
    assert identity.gone(process, 1)


def test_waiting_for_one_that_stays_is_bounded(namesake, run, vm):
    assert not identity.gone(identity.running(namesake(run, vm).pid), 0.05)


def test_start_time(namesake, run, vm):
    process = identity.running(namesake(run, vm).pid)
    assert abs(identity.started_at(process) - Path(f"/proc/{process.pid}").stat().st_ctime) < 1


def test_no_such_process():
    assert identity.running(2**22 + 1) is None
    assert not identity.is_alive(Process(2**22 + 1, 1))
    assert identity.running(os.getpid()) is not None
