"""Which QEMU is refused, and why; the boots themselves are host tests."""

import subprocess

import pytest

from instances.hypervisor import accel
from instances.hypervisor.base import DriverError


@pytest.fixture
def qemu_says(monkeypatch):
    """Make `qemu-system-x86_64 --version` print a text."""

    def says(text: str) -> None:
        monkeypatch.setattr(accel.shutil, "which", lambda binary: f"/usr/bin/{binary}")
        monkeypatch.setattr(accel.subprocess, "run", lambda argv, **_: subprocess.CompletedProcess(argv, 0, stdout=text))

    return says


@pytest.mark.parametrize(("minor", "version"), [("7.1.0", (7, 1)), ("7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", (7, 2)), ("10.0.0", (10, 0))])
def test_new_enough(qemu_says, minor, version):
    qemu_says(f"QEMU emulator version {minor}\nCopyright")
    assert accel.require_qemu() == version


@pytest.mark.parametrize("text", ["QEMU emulator version 7.0.0\n", "QEMU emulator version 5.2.0 (Debian)\n", "", "something else 9.9"])
def test_too_old_or_something_else(qemu_says, text):
    qemu_says(text)
    with pytest.raises(DriverError, match=r"QEMU 7\.1 or newer is needed") as refused:
        accel.require_qemu()
    assert refused.value.code == "unsupported"


def test_missing(monkeypatch):
    monkeypatch.setattr(accel.shutil, "which", lambda binary: None)
    with pytest.raises(DriverError, match="qemu-system-x86_64 is not installed"):
        accel.require_qemu()


def test_no_kvm_device(monkeypatch, tmp_path):
    monkeypatch.setattr(accel, "DEVICE_KVM", tmp_path / "kvm")
    verdict = accel.probe(tmp_path, uid=1)
    assert verdict.accelerator == "tcg"
    assert "has no" in verdict.sentence
