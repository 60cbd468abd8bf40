"""Loader and libraries come from the upload, else from the allow-listed directories; all that is missing is named at once."""

import io

import handmade
import pytest

from instances.imaging.base import ImagingError
from instances.imaging.elf import read_program
from instances.imaging.libraries import Resolver
from instances.imaging.tree import Tree

LOADER = "/lib64/ld.so"


@pytest.fixture
def system(tmp_path):
    """A host with a loader and three libraries, one of them behind a symlink, and a file outside."""
    libraries, loaders, outside = tmp_path / "lib", tmp_path / "lib64", tmp_path / "secret"
    for directory in (libraries, loaders, outside):
        directory.mkdir()
    (loaders / "ld.so").write_bytes(handmade.elf(kind=3, soname="ld.so"))
    (libraries / "libc.so.6").write_bytes(handmade.elf(kind=3, soname="libc.so.6", needed=["ld.so"], offers=["GLIBC_2.2.5", "GLIBC_2.36"]))
    (libraries / "libm-2.36.so").write_bytes(handmade.elf(kind=3, soname="libm.so.6", needed=["libc.so.6"]))
    (libraries / "libm.so.6").symlink_to("libm-2.36.so")
    (outside / "libleak.so").write_bytes(handmade.elf(kind=3, soname="libleak.so"))
    (libraries / "libleak.so").symlink_to(outside / "libleak.so")
    return (libraries, loaders)


def resolve(program, system, upload=None, path="/app/g", **options):
    elf = read_program(io.BytesIO(program), "g")
    return Resolver(upload or Tree(), system, "x86_64", **options).resolve(elf, path)


def program(system, *needed, **options):
    return handmade.elf(interpreter=str(system[1] / "ld.so"), needed=needed, **options)


def test_a_static_program_needs_nothing(system):
    found = resolve(handmade.elf(), system)
    assert (found.from_system, found.uses_glibc) == ({}, False)


def test_everything_from_the_system_recursively(system):
    found = resolve(program(system, "libm.so.6"), system)
    loader = str(system[1] / "ld.so").lstrip("/")
    assert set(found.from_system) == {loader, "lib/x86_64-linux-gnu/libm.so.6", "lib/x86_64-linux-gnu/libc.so.6"}
    assert found.uses_glibc


def test_all_missing_ones_are_named_at_once(system):
    with pytest.raises(ImagingError) as caught:
        resolve(program(system, "libone.so.1", "libc.so.6", "libtwo.so.2"), system)
    assert caught.value.code == "missing_libraries"
    assert "libone.so.1, libtwo.so.2" in caught.value.message


def test_a_missing_loader_is_named(system):
    with pytest.raises(ImagingError, match="/lib/ld-musl-x86_64.so.1"):
        resolve(handmade.elf(interpreter="/lib/ld-musl-x86_64.so.1"), system)


@pytest.mark.parametrize("name", ["../secret/libleak.so", "/etc/passwd", "libleak.so", "..", "x" * 5000])
def test_sec_c1_nothing_outside_the_allow_list_is_opened(name, system):
    with pytest.raises(ImagingError) as caught:
        resolve(program(system, name), system)
    assert caught.value.code == "missing_libraries"


def test_sec_c1_a_loader_outside_the_allow_list_is_not_opened(system, tmp_path):
    for path in (str(tmp_path / "secret/libleak.so"), str(system[1] / "../secret/libleak.so"), "/etc/passwd"):
        with pytest.raises(ImagingError) as caught:
            resolve(handmade.elf(interpreter=path), system)
        assert caught.value.code == "missing_libraries"


def test_the_upload_comes_first(system, tmp_path):
    own = handmade.elf(kind=3, soname="libm.so.6")
    upload = handmade.unpack(handmade.tar(("app/lib/libm.so.6", own)), tmp_path)
    found = resolve(program(system, "libm.so.6", runpath="$ORIGIN/lib"), system, upload)
    assert set(found.from_upload) == {"app/lib/libm.so.6"}
    assert not any("libm" in path for path in found.from_system)


def test_a_library_elsewhere_in_the_upload_is_linked_to(system, tmp_path):
    upload = handmade.unpack(handmade.tar(("stuff/libodd.so.1", handmade.elf(kind=3, soname="libodd.so.1"))), tmp_path)
    found = resolve(program(system, "libodd.so.1"), system, upload)
    assert found.links == {"lib/x86_64-linux-gnu/libodd.so.1": "/stuff/libodd.so.1"}
    assert "libodd.so.1" in found.notes[0]


def test_with_an_own_loader_no_library_of_the_panel_is_mixed_in(system, tmp_path):
    upload = handmade.unpack(handmade.tar(("lib64/ld.so", handmade.elf(kind=3, soname="ld.so"))), tmp_path)
    with pytest.raises(ImagingError, match=r"libc\.so\.6.*all libraries beside your own loader"):
        resolve(handmade.elf(interpreter="/lib64/ld.so", needed=["libc.so.6"]), system, upload)


def test_an_uploaded_library_for_another_machine_is_refused(system, tmp_path):
    upload = handmade.unpack(handmade.tar(("lib/libarm.so", handmade.elf(kind=3, machine=handmade.AARCH64))), tmp_path)
    with pytest.raises(ImagingError, match="lib/libarm.so is built for arm64"):
        resolve(program(system, "libarm.so"), system, upload)


def test_libraries_that_are_too_old_are_named_with_the_version(system):
    new = program(system, "libc.so.6", wants=[("libc.so.6", "GLIBC_2.2.5"), ("libc.so.6", "GLIBC_2.38")])
    with pytest.raises(ImagingError) as caught:
        resolve(new, system)
    assert caught.value.code == "old_libraries"
    assert "GLIBC_2.38 of libc.so.6" in caught.value.message
    assert "GLIBC_2.2.5" not in caught.value.message
