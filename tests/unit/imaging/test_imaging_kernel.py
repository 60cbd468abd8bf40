"""Finding a kernel and its modules, and the base archive made of them."""

import gzip
import lzma
import struct
import subprocess

import handmade
import pytest

from instances.imaging import cpio
from instances.imaging.base import ImagingError
from instances.imaging.base_archive import GUEST_FILES, base_archive, cmdline, modules_dep
from instances.imaging.kernel import BOOT_MODULES, LATE_MODULES, find_kernel, read_version

VERSION = "6.1.0-56-cloud-amd64"
NEEDS = {
    "drivers/virtio/virtio_ring.ko": "",
    "drivers/virtio/virtio.ko": "virtio_ring",
    "drivers/virtio/virtio_pci_modern_dev.ko": "",
    "drivers/virtio/virtio_pci.ko": "virtio_pci_modern_dev,virtio_ring,virtio",
    "drivers/net/net_failover.ko": "failover",
    "net/core/failover.ko": "",
    "drivers/net/virtio_net.ko": "net_failover,virtio_ring,virtio",
    "drivers/acpi/button.ko": "",
    "drivers/input/evdev.ko": "",
    "drivers/char/hw_random/virtio-rng.ko": "virtio_ring,virtio",
    "drivers/misc/pvpanic/pvpanic.ko": "",
    "drivers/misc/pvpanic/pvpanic-pci.ko": "pvpanic",
}


def module(needs: str) -> bytes:
    return handmade.elf(kind=1, modinfo={"depends": needs, "license": "GPL"})


def lay_kernel(root, version=VERSION):
    (root / "boot").mkdir(exist_ok=True)
    header = bytearray(0x400)
    header[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", header, 0x20E, 0x100)
    header += f"{version} (someone@somewhere) #1 SMP".encode() + b"\0"
    (root / "boot" / f"vmlinuz-{version}").write_bytes(bytes(header[:0x300]) + f"{version} (who@where) #1".encode() + b"\0")
    modules = root / "lib/modules" / version
    for path, needs in NEEDS.items():
        target = modules / "kernel" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(module(needs))
    (modules / "modules.builtin").write_text("kernel/drivers/block/virtio_blk.ko\n")
    return modules


@pytest.fixture
def root(tmp_path):
    """An unpacked kernel package."""
    lay_kernel(tmp_path)
    return tmp_path


def test_modules_come_after_what_they_need_and_built_in_ones_are_left_out(root):
    kernel = find_kernel(root)
    names = [module.name for module in kernel.modules]
    assert kernel.version == VERSION
    assert "virtio_blk" not in names
    assert {"virtio_rng", "pvpanic_pci", *BOOT_MODULES} <= set(names)
    for module_ in kernel.modules:
        assert all(names.index(need) < names.index(module_.name) for need in module_.needs)


def test_the_newest_of_several_kernels(root):
    lay_kernel(root, "6.1.0-9-cloud-amd64")
    assert find_kernel(root).version == VERSION


def test_an_explicit_kernel_by_file_or_directory(root):
    image = root / "boot" / f"vmlinuz-{VERSION}"
    assert find_kernel(None, image) == find_kernel(None, root) == find_kernel(root)


@pytest.mark.parametrize(("suffix", "pack"), [(".xz", lzma.compress), (".gz", gzip.compress)])
def test_compressed_modules(root, suffix, pack):
    plain = root / "lib/modules" / VERSION / "kernel/drivers/acpi/button.ko"
    content = plain.read_bytes()
    plain.with_name(f"button.ko{suffix}").write_bytes(pack(content))
    plain.unlink()
    found = {module.name: module for module in find_kernel(root).modules}
    assert found["button"].content() == content


def test_all_missing_modules_are_named(root):
    for path in ("drivers/acpi/button.ko", "net/core/failover.ko"):
        (root / "lib/modules" / VERSION / "kernel" / path).unlink()
    with pytest.raises(ImagingError, match="failover, button"):
        find_kernel(root)


def test_no_kernel_and_no_bzimage_are_named(tmp_path):
    with pytest.raises(ImagingError, match="OPSWEB_KERNEL"):
        find_kernel(tmp_path)
    (tmp_path / "vmlinuz").write_bytes(b"\x7fELF" + bytes(1000))
    with pytest.raises(ImagingError, match="no x86 bzImage"):
        read_version(tmp_path / "vmlinuz")
    with pytest.raises(ImagingError, match="can't be read"):
        read_version(tmp_path / "nope")


def test_modules_dep_lists_what_to_load_first_last(root):
    lines = dict(line.split(":") for line in modules_dep(find_kernel(root)).splitlines())
    assert lines["virtio_ring.ko"] == ""
    assert lines["virtio_net.ko"].split() == ["net_failover.ko", "failover.ko", "virtio.ko", "virtio_ring.ko"]


def test_the_base_archive_holds_what_init_reads(root, tmp_path):
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"static")
    archive = base_archive(find_kernel(root), busybox)
    members = {entry.path: entry for entry in cpio.read(archive)}
    assert archive == base_archive(find_kernel(root), busybox)
    assert members[".opsweb/init"].mode == 0o100755
    assert members[".opsweb/boot-modules"].content == b"virtio_pci virtio_net\n"
    assert members[".opsweb/late-modules"].content == b"button evdev virtio_rng pvpanic_pci\n"
    assert members["dev/console"].device == (5, 1)
    assert members["tmp"].mode == 0o041777
    # The image owns all the rest of the tree.
    assert {path.split("/")[0] for path in members} == {".opsweb", "dev", "etc", "proc", "run", "sys", "tmp"}


def test_the_guests_scripts_have_no_syntax_error():
    for name in ("init", "dhcp", "hello/start"):
        subprocess.run(["sh", "-n", GUEST_FILES / name], check=True, timeout=10)


def test_the_command_line_is_quiet_and_starts_our_init():
    assert "rdinit=/.opsweb/init" in cmdline("kvm").split()
    assert "console=ttyS0,115200" in cmdline("tcg").split()
    assert set(cmdline("tcg").split()) - set(cmdline("kvm").split()) == {"nolapic_timer"}


def test_late_and_boot_modules_do_not_overlap():
    assert not set(BOOT_MODULES) & set(LATE_MODULES)
