"""What the host tests share: a namespace of their own and a real hypervisor on short paths."""

from collections.abc import Iterator

import pytest

from tests.contract.hypervisors import QemuRig, in_own_namespace, short_directory


@pytest.fixture
def qemus() -> Iterator[QemuRig]:
    """Real QEMUs whose guest is the tiny one; what was started is erased afterwards."""
    in_own_namespace()
    with short_directory() as path:
        rig = QemuRig(path)
        yield rig
        rig.erase_all()
