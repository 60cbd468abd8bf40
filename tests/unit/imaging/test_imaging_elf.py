"""ELF files are read, never run; whatever is none gets a sentence that says what it looks like."""

import io
from contextlib import suppress

import handmade
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instances.imaging.base import ImagingError
from instances.imaging.elf import read_library, read_program

LOADER = "/lib64/ld-linux-x86-64.so.2"
DYNAMIC = handmade.elf(
    interpreter=LOADER, needed=["libc.so.6", "libfoo.so.1"], runpath="$ORIGIN/lib:/opt/lib", wants=[("libc.so.6", "GLIBC_2.34")]
)


def refusal(data: bytes) -> ImagingError:
    with pytest.raises(ImagingError) as caught:
        read_program(io.BytesIO(data), "g")
    return caught.value


def test_a_dynamic_program():
    elf = read_program(io.BytesIO(DYNAMIC), "g")
    assert (elf.interpreter, elf.needed, elf.search) == (LOADER, ("libc.so.6", "libfoo.so.1"), ("$ORIGIN/lib", "/opt/lib"))
    assert elf.wants == {("libc.so.6", "GLIBC_2.34")}


def test_a_static_program_and_a_static_pie():
    for kind in (2, 3):
        elf = read_program(io.BytesIO(handmade.elf(kind=kind)), "g")
        assert (elf.interpreter, elf.needed) == ("", ())


def test_runpath_wins_over_rpath():
    assert read_program(io.BytesIO(handmade.elf(interpreter="/l", rpath="/old", runpath="/new")), "g").search == ("/new",)
    assert read_program(io.BytesIO(handmade.elf(interpreter="/l", rpath="/old")), "g").search == ("/old",)


def test_a_library_says_what_it_offers():
    assert read_library(io.BytesIO(handmade.elf(kind=3, soname="libc.so.6", offers=["GLIBC_2.2.5", "GLIBC_2.36"])), "libc.so.6").offers == {
        "GLIBC_2.2.5",
        "GLIBC_2.36",
    }


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "an empty file"),
        (b"#!/bin/bash -e\necho hi\n", "a script for /bin/bash -e"),
        (b"MZ\x90\0\x03", "a Windows program"),
        (b"\xcf\xfa\xed\xfe\x07\0\0\x01", "a macOS program"),
        (b"PK\x03\x04\x14\0", "a zip archive"),
        (b"\x1f\x8b\x08\0", "gzip-compressed"),
        (b"QFI\xfb\0\0\0\3", "a qcow2 disk image"),
        (handmade.tar(("a", b"b")), "a tar archive"),
        (b"package main\n", "text"),
        (b"\0\1\2\3", "unknown data"),
    ],
)
def test_what_is_no_elf_is_named(data, words):
    error = refusal(data)
    assert error.code == "not_elf"
    assert words in error.message


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (handmade.elf(machine=handmade.AARCH64), "wrong_arch", "built for arm64, 64 bit; this image needs Linux x86-64"),
        (handmade.elf(abi=9), "wrong_arch", "FREEBSD"),
        (handmade.elf(kind=1), "bad_elf", "an object file"),
        (handmade.elf(kind=4), "bad_elf", "a core dump"),
        (handmade.elf(kind=3, soname="libfoo.so.1"), "bad_elf", "a shared library"),
        (handmade.elf(kind=3)[:24] + bytes(8) + handmade.elf(kind=3)[32:], "bad_elf", "a shared library"),  # e_entry: it begins nowhere
        (DYNAMIC[:40], "bad_elf", "broken"),
    ],
)
def test_what_does_not_fit_is_refused(data, code, words):
    error = refusal(data)
    assert (error.code, words in error.message) == (code, True), error.message


def test_a_32_bit_program_is_refused():
    header = bytearray(52)
    header[:8] = b"\x7fELF\x01\x01\x01\0"
    header[16:24] = b"\x02\0\x03\0\x01\0\0\0"
    header[40:42] = (52).to_bytes(2, "little")
    error = refusal(bytes(header) + bytes(64))
    assert error.code == "wrong_arch"
    assert "32 bit" in error.message


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(DYNAMIC) - 1), st.integers(0, 255)), min_size=1, max_size=12), st.integers(0, len(DYNAMIC)))
def test_sec_i1_broken_elf_files_are_answers_not_tracebacks(changes, length):
    data = bytearray(DYNAMIC)
    for at, value in changes:
        data[at] = value
    with suppress(ImagingError):
        read_program(io.BytesIO(bytes(data[:length])), "g")
