"""The cpio writer: deterministic, padded, readable; the kernel's own reading is shown by tests/host."""

import stat
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.imaging import cpio

SMALL = [cpio.regular("etc/hosts", b"10.0.2.2 bob\n"), cpio.symlink("bin/sh", "/x"), cpio.directory("tmp", 0o1777)]


def test_headers_are_the_same_bytes_for_ever():
    archive = cpio.pack(SMALL)
    assert archive.startswith(
        b"070701" + b"00000001" + b"000041ED" + b"00000000" * 2 + b"00000002" + b"00000000" * 6 + b"00000004" + b"00000000bin\0"
    )
    assert sha256(archive).hexdigest() == sha256(cpio.pack(list(reversed(SMALL)))).hexdigest()


def test_parents_come_before_children_and_once():
    paths = [
        entry.path for entry in cpio.read(cpio.pack([cpio.regular("a/b/c", b""), cpio.regular("a-/x", b""), cpio.directory("a/b", 0o700)]))
    ]
    assert paths == ["a", "a/b", "a/b/c", "a-", "a-/x"]


def test_concatenated_archives_read_as_one():
    both = cpio.pack(SMALL) + cpio.pack([cpio.regular("etc/hosts", b"later")])
    assert len(cpio.pack(SMALL)) % 512 == 0
    assert [entry.content for entry in cpio.read(both) if entry.path == "etc/hosts"] == [b"10.0.2.2 bob\n", b"later"]


def test_a_device_node_keeps_its_numbers():
    (entry,) = cpio.read(cpio.pack([cpio.Entry("console", stat.S_IFCHR | 0o600, device=(5, 1))]))
    assert (entry.device, entry.mode) == ((5, 1), stat.S_IFCHR | 0o600)


def test_what_is_no_archive_is_refused():
    with pytest.raises(ValueError, match="no cpio header at byte 0"):
        list(cpio.read(b"hello"))


NAMES = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..", cpio.TRAILER)
)


@given(st.dictionaries(NAMES, st.binary(max_size=200), max_size=10))
def test_reading_gives_back_what_was_written(files):
    archive = cpio.pack([cpio.regular(name, content) for name, content in files.items()])
    assert {entry.path: entry.content for entry in cpio.read(archive)} == files
