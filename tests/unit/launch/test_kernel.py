"""The guests' kernel: which package it is, and what is kept of it."""

import os
from pathlib import Path

import pytest

from opsweb.launch import kernel
from opsweb.launch.accounts import caller
from opsweb.launch.errors import LaunchError
from opsweb.launch.panel import Panel


def test_the_package_with_the_version_in_its_name() -> None:
    text = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n"
    assert kernel.versioned(text) == "linux-image-6.1.0-56-cloud-amd64"
    assert kernel.versioned("") == ""


def test_only_what_guests_load_is_kept(tmp_path: Path) -> None:
    tree, target = tmp_path / "tree", tmp_path / "kernel"
    modules = tree / "lib/modules/6.1.0-56-cloud-amd64"
    for name in (
        "drivers/virtio/virtio_pci.ko",
        "drivers/net/virtio_net.ko",
        "net/core/failover.ko",
        "fs/nfs/nfs.ko",
        "drivers/net/tun.ko",
    ):
        (modules / "kernel" / name).parent.mkdir(parents=True, exist_ok=True)
        (modules / "kernel" / name).write_text("x")
    (modules / "modules.builtin").write_text("")
    (tree / "boot").mkdir()
    (tree / "boot/vmlinuz-6.1.0-56-cloud-amd64").write_text("image")
    target.mkdir()
    kernel.lay(tree, target, os.getegid())
    kept = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    assert kept == [
        "boot/vmlinuz-6.1.0-56-cloud-amd64",
        "lib/modules/6.1.0-56-cloud-amd64/kernel/drivers/net/virtio_net.ko",
        "lib/modules/6.1.0-56-cloud-amd64/kernel/drivers/virtio/virtio_pci.ko",
        "lib/modules/6.1.0-56-cloud-amd64/kernel/net/core/failover.ko",
        "lib/modules/6.1.0-56-cloud-amd64/modules.builtin",
        "version",
    ]
    assert (target / "version").read_text() == "6.1.0-56-cloud-amd64\n"


def test_a_kernel_of_the_persons_own_is_not_fetched_but_must_be_there(tmp_path: Path) -> None:
    mine = tmp_path / "vmlinuz"
    panel = Panel(tmp_path, tmp_path / "state", tmp_path, {"OPSWEB_KERNEL": str(mine)})
    with pytest.raises(LaunchError, match="OPSWEB_KERNEL"):
        kernel.ensure(panel, caller({}))
    mine.write_text("x")
    assert not kernel.ensure(panel, caller({}))
    assert not panel.state.exists()
