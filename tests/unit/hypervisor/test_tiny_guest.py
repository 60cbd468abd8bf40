"""The tiny guest's listing is its code: offsets in the listing and addresses in the code must agree, or it would jump astray."""

import struct

from instances.hypervisor import tiny_guest as tiny


def test_every_line_of_the_listing_is_where_it_says():
    offset = 32
    for line in filter(None, tiny._CODE.splitlines()):
        assert int(line.split()[0], 16) == offset, line
        offset += len(line.split()[1]) // 2


def test_texts_lie_where_the_code_looks_for_them():
    image = tiny.tiny_guest()
    for text in (tiny.BOOT_LINES, tiny.MARKER, tiny.LAST_LINES):
        address = 0x100000 + image.index(text + b"\0")
        assert struct.pack("<BI", 0xBE, address) in image, "mov esi, address of the text"


def test_header_is_a_multiboot_header():
    magic, flags, checksum, header, load, end, _, entry = struct.unpack_from("<8I", tiny.tiny_guest())
    assert (magic + flags + checksum) & 0xFFFFFFFF == 0
    assert (header, load, end - load, entry - load) == (0x100000, 0x100000, len(tiny.tiny_guest()), 32)
