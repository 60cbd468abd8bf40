"""The lock's file may be removed by its holder while others open it; there is still one holder."""

from uuid import uuid4

import pytest

from instances.hypervisor import locks
from instances.hypervisor.base import DriverError


def test_inv_06_nobody_holds_a_file_that_is_gone(tmp_path, monkeypatch):
    vm, flock, opened = uuid4(), locks._lock, []

    def lock_after_the_holder_removed_it(fd: int) -> bool:
        if not opened:
            locks.remove(tmp_path, vm)
        opened.append(fd)
        return flock(fd)

    monkeypatch.setattr(locks, "_lock", lock_after_the_holder_removed_it)
    monkeypatch.setattr(locks, "WAIT", 0.05)
    with locks.held(tmp_path, vm), pytest.raises(DriverError), locks.held(tmp_path, vm):
        pass
    assert len(opened) > 2


def test_a_lock_that_is_a_symbolic_link_is_refused(tmp_path):
    vm = uuid4()
    (tmp_path / str(vm)).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError), locks.held(tmp_path, vm):
        pass
    assert not (tmp_path / "elsewhere").exists()
