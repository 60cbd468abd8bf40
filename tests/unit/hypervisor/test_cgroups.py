"""Limits on a directory that looks like a cgroup v2 hierarchy; the real one is the kernel's."""

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from instances.hypervisor.base import Machine
from instances.hypervisor.cgroups import Cgroups, limits, mounted

MACHINE = Machine(uuid4(), "web", 800001, 2, 256, Path("/kernel"), (), "")


@pytest.fixture
def hierarchy(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids\n")
    (tmp_path / "cgroup.subtree_control").touch()
    return tmp_path


def test_limits_of_a_machine():
    assert limits(MACHINE) == {"cpu.max": "250000 100000", "memory.max": str((256 + 256 + 128) << 20), "pids.max": "256"}
    assert limits(replace(MACHINE, accelerator="kvm"))["memory.max"] == str((256 + 256) << 20)


def test_limits_are_written_and_controllers_enabled(hierarchy):
    cgroups = Cgroups("c0de", hierarchy)
    assert cgroups.prepare(MACHINE) == ""
    directory = hierarchy / "opsweb-c0de" / str(MACHINE.id)
    assert {name: (directory / name).read_text() for name in limits(MACHINE)} == limits(MACHINE)
    assert (hierarchy / "opsweb-c0de" / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert cgroups.attach(MACHINE.id, 4711) == ""
    assert (directory / "cgroup.procs").read_text() == "4711"


def test_without_controllers_the_sentence_says_which(hierarchy):
    (hierarchy / "cgroup.controllers").write_text("hugetlb\n")
    assert Cgroups("c0de", hierarchy).prepare(MACHINE) == "no limits here: cgroup v2 of this host has no controller for cpu, memory, pids"
    assert (hierarchy / "opsweb-c0de" / str(MACHINE.id)).is_dir(), "its own cgroup still keeps it apart from our container"


def test_without_cgroup_v2_the_sentence_says_so():
    cgroups = Cgroups("c0de", None)
    assert cgroups.prepare(MACHINE) == "no limits here: this host has no cgroup v2 hierarchy"
    assert cgroups.attach(MACHINE.id, 1) == ""
    cgroups.remove(MACHINE.id)


def test_a_hierarchy_that_cannot_be_written_to_is_said_and_not_fatal(tmp_path):
    (tmp_path / "file").touch()
    assert Cgroups("c0de", tmp_path / "file").prepare(MACHINE).startswith("no limits here: ")


def test_inv_03_nothing_is_left(hierarchy):
    cgroups = Cgroups("c0de", hierarchy)
    (hierarchy / "cgroup.controllers").write_text("")
    other = replace(MACHINE, id=uuid4())
    for machine in (MACHINE, other):
        cgroups.prepare(machine)
    cgroups.remove(MACHINE.id)
    assert [path.name for path in (hierarchy / "opsweb-c0de").iterdir()] == [str(other.id)]
    cgroups.remove(other.id)
    assert not (hierarchy / "opsweb-c0de").exists()


def test_where_it_is_mounted(tmp_path):
    (tmp_path / "mounts").write_text("proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n")
    assert mounted(tmp_path / "mounts") == Path("/sys/fs/cgroup")
    (tmp_path / "mounts").write_text("cgroup /sys/fs/cgroup/memory cgroup rw 0 0\n")
    assert mounted(tmp_path / "mounts") is None
