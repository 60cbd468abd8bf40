"""The files a QEMU is given: sockets, logs and memfds, and who may open them."""

import contextlib
import os
import socket
import stat
from pathlib import Path

import pytest

from instances.hypervisor import launch
from instances.hypervisor.base import DriverError
from instances.hypervisor.qemu import QemuHypervisor


def test_inv_10_a_socket_has_its_mode_and_replaces_what_was_there(tmp_path):
    path = tmp_path / "s"
    for mode in (0o600, 0o660):
        fd = launch.listen(path, mode, os.getgid())
        assert stat.S_IMODE(path.stat().st_mode) == mode
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        os.close(fd)


def test_sec_a8_a_log_that_is_a_symbolic_link_is_refused(tmp_path):
    (tmp_path / "target").write_text("precious")
    (tmp_path / "console.log").symlink_to(tmp_path / "target")
    with pytest.raises(OSError):
        launch.open_log(tmp_path / "console.log", 0o660, os.getgid())
    assert (tmp_path / "target").read_text() == "precious"


def test_sec_a8_directory_and_log_are_closed_to_others(tmp_path):
    launch.make_directory(tmp_path / "vm", os.getgid())
    os.close(launch.open_log(tmp_path / "vm" / "console.log", 0o660, os.getgid()))
    assert stat.S_IMODE((tmp_path / "vm").stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "vm" / "console.log").stat().st_mode) == 0o660


def test_a_log_is_appended_to_and_not_inherited(tmp_path):
    for text in (b"one", b"two"):
        fd = launch.open_log(tmp_path / "log", 0o640, os.getgid())
        assert not os.get_inheritable(fd)
        os.write(fd, text)
        os.close(fd)
    assert (tmp_path / "log").read_bytes() == b"onetwo"


def test_parts_follow_each_other_each_padded_to_four_bytes(tmp_path):
    (tmp_path / "base").write_bytes(b"base!")
    fd = launch.memfd("initrd", (tmp_path / "base", b"xy", b"four"))
    assert os.pread(fd, 100, 0) == b"base!\0\0\0xy\0\0four"
    os.close(fd)


@pytest.mark.parametrize(("mode", "shared"), [(0o644, True), (0o640, False)])
def test_a_kernel_that_anybody_may_read_is_not_copied(tmp_path, mode, shared):
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(b"kern")
    kernel.chmod(mode)
    fd = launch.open_kernel(kernel)
    assert (os.fstat(fd).st_ino == kernel.stat().st_ino) is shared
    assert os.pread(fd, 100, 0) == b"kern"
    with pytest.raises(OSError, match="descriptor") if shared else contextlib.nullcontext():
        os.write(fd, b"x")  # what QEMU is given of the file itself is for reading
    os.close(fd)


def test_a_missing_part_leaves_no_descriptor(tmp_path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileNotFoundError):
        launch.memfd("kernel", (tmp_path / "nothing",))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_each_queue_has_a_descriptor_of_vhost_where_there_is_one(monkeypatch, tmp_path):
    monkeypatch.setattr(launch, "DEVICE_VHOST_NET", tmp_path / "vhost-net")
    assert list(launch.vhost_nets(2)) == []
    (tmp_path / "vhost-net").touch()
    fds = list(launch.vhost_nets(2))
    assert len({*fds}) == 2
    assert not any(map(os.get_inheritable, fds))
    for fd in fds:
        os.close(fd)


def test_a_vm_is_never_in_roots_group(monkeypatch, tmp_path):
    monkeypatch.setattr(launch, "DEVICE_KVM", tmp_path / "kvm")
    assert launch.groups("kvm") == []
    (tmp_path / "kvm").touch()
    expected = [os.getgid()] if os.getgid() else []
    assert launch.groups("kvm") == expected
    assert launch.groups("tcg") == []


def test_a_run_directory_too_long_for_sockets_is_refused_at_once(tmp_path):
    with pytest.raises(DriverError) as refused:
        QemuHypervisor(tmp_path / ("x" * 60), tmp_path, group=0, tag="c0de")
    assert refused.value.code == "unsupported"
    assert "too long" in refused.value.message


def test_the_end_of_stderr(tmp_path):
    assert launch.stderr_tail(tmp_path / "nothing") == ""
    (tmp_path / "stderr.log").write_bytes(b"x" * 9000 + b"\nqemu-system-x86_64: \xff no\n")
    tail = launch.stderr_tail(tmp_path / "stderr.log")
    assert len(tail) <= launch.LAST_WORDS
    assert tail.endswith("no")
