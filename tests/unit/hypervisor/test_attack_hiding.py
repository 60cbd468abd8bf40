"""A QEMU whose guest broke out may call itself anything: it is still ended, or its uid would go to another team's VM (INV-07, INV-10)."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from instances.hypervisor import identity, record
from instances.hypervisor.base import Power
from instances.hypervisor.qemu import QemuHypervisor
from instances.hypervisor.record import Record
from tests.contract.hypervisors import short_directory

VM = UUID(int=7)


@pytest.fixture
def driver() -> Iterator[QemuHypervisor]:
    with short_directory() as path:
        yield QemuHypervisor(path / "r", path / "s", group=0, tag="test")


@pytest.fixture
def hidden(driver: QemuHypervisor) -> Iterator["subprocess.Popen[bytes]"]:
    """The recorded process of the VM, under another name than it was started with."""
    child = subprocess.Popen(["kworker/0:1", "60"], executable="/bin/sleep")
    run: Path = driver.paths(VM).run
    run.mkdir(parents=True)
    process = identity.running(child.pid)
    record.write(run, Record(uuid4().hex, identity.host_boot(), [], "tcg", "", time.time(), process, time.time()))
    yield child
    child.kill()
    child.wait()


def test_one_that_changed_its_name_still_runs(driver: QemuHypervisor, hidden: "subprocess.Popen[bytes]") -> None:
    assert driver.observe(VM).power is Power.RUNNING


def test_one_that_changed_its_name_is_ended(driver: QemuHypervisor, hidden: "subprocess.Popen[bytes]") -> None:
    driver.kill(VM)
    assert hidden.wait(5) == -9


def test_erasing_ends_it_too(driver: QemuHypervisor, hidden: "subprocess.Popen[bytes]") -> None:
    driver.erase(VM)
    assert hidden.wait(5) == -9
    assert driver.list() == []
