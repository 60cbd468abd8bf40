"""What the contract suites share: short directories, and a hypervisor of either kind with its guests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.hypervisors import FakeRig, QemuRig, Rig, short_directory
from tests.namespaces import fresh_network, in_own_namespace


@pytest.fixture(scope="module", autouse=True)
def own_network() -> Iterator[None]:
    """Each module has a network of its own."""
    with fresh_network():
        yield


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose path is short enough for the sockets below it."""
    with short_directory() as path:
        yield path


@pytest.fixture(params=["fake", pytest.param("qemu", marks=pytest.mark.host)])
def rig(request: pytest.FixtureRequest, short_path: Path) -> Iterator[Rig]:
    """Either kind; what it started is erased afterwards."""
    if request.param == "qemu":
        in_own_namespace()
    rig: Rig = QemuRig(short_path) if request.param == "qemu" else FakeRig(short_path)
    yield rig
    rig.erase_all()
