"""SEC-C1: archives are read with limits, and no name, link or device in one leads anywhere but into the image."""

import stat
import tarfile
import zipfile
from io import BytesIO

import handmade
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instances.imaging.base import ImagingError, Limits
from instances.imaging.paths import link_target, member_path


def refusal(data, directory, limits=None):
    before = sorted(directory.parent.rglob("*"))
    with pytest.raises(ImagingError) as caught:
        handmade.unpack(data, directory, limits)
    # Nothing but the upload and the spool appeared: members never get a host path.
    assert {path.name for path in set(directory.parent.rglob("*")) - set(before)} <= {"upload", "spool"}
    return caught.value


def zipped(*members, **options):
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_tars_in_every_packing(mode, tmp_path):
    tree = handmade.unpack(handmade.tar(("etc/hosts", b"10.0.2.2 bob\n"), ("./static/a.txt", b"A"), mode=mode), tmp_path)
    assert handmade.contents(tree) == {"etc/hosts": b"10.0.2.2 bob\n", "static/a.txt": b"A"}


def test_a_zip_with_directories_and_unix_modes(tmp_path):
    info = zipfile.ZipInfo("bin/g")
    info.external_attr = (stat.S_IFREG | 0o4755) << 16
    tree = handmade.unpack(zipped(("static/", b""), (info, b"\x7fELF"), ("static/ü.txt", b"u")), tmp_path)
    assert set(tree.entries) == {"static", "bin/g", "static/ü.txt"}
    assert tree.entries["bin/g"].mode == stat.S_IFREG | 0o755


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../x", "leaves the upload"),
        ("a/../../b", "leaves the upload"),
        ("a/..", "leaves the upload"),
        ("/etc/passwd", "absolute"),
        ("//etc/passwd", "absolute"),
        ("a\nb", "control character"),
        ("a" * 256, "too long"),
        ("/".join(["d" * 200] * 25), "too long"),
    ],
)
def test_sec_c1_names_that_leave_are_refused(name, words, tmp_path):
    for data in (handmade.tar((name, b"x")), zipped((name, b"x"))):
        error = refusal(data, tmp_path)
        assert error.code == "bad_path"
        assert words in error.message


def test_sec_c1_a_nul_in_a_name_is_refused():
    with pytest.raises(ImagingError, match="control character"):
        member_path("a\0/etc/passwd")


@pytest.mark.parametrize("target", ["../../etc/passwd", "../..", "a/../../../b", ""])
def test_sec_c1_symlinks_that_leave_are_refused(target, tmp_path):
    assert refusal(handmade.tar(handmade.special("d/link", tarfile.SYMTYPE, target)), tmp_path).code == "bad_path"


def test_symlinks_inside_stay_as_they_are(tmp_path):
    links = {"lib/libfoo.so": "libfoo.so.1", "a/b": "../lib/x", "bin": "usr/bin", "etc/mtab": "/proc/mounts"}
    tree = handmade.unpack(handmade.tar(*(handmade.special(name, tarfile.SYMTYPE, target) for name, target in links.items())), tmp_path)
    assert {path: content.decode() for path, content in handmade.contents(tree).items()} == links


def test_sec_c1_nothing_is_written_through_a_symlink(tmp_path):
    data = handmade.tar(handmade.special("d", tarfile.SYMTYPE, "/etc"), ("d/passwd", b"root::0:0::/:/bin/sh"))
    error = refusal(data, tmp_path)
    assert error.code == "bad_archive"
    assert "lies under 'd'" in error.message


@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd", "not/there"])
def test_sec_c1_hard_links_outside_are_refused(target, tmp_path):
    assert refusal(handmade.tar(handmade.special("x", tarfile.LNKTYPE, target)), tmp_path).code in ("bad_path", "bad_archive")


def test_a_hard_link_inside_shares_the_content(tmp_path):
    tree = handmade.unpack(handmade.tar(("a", b"content"), handmade.special("b", tarfile.LNKTYPE, "a")), tmp_path)
    assert handmade.contents(tree) == {"a": b"content", "b": b"content"}


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_sec_c1_devices_and_pipes_are_refused(kind, tmp_path):
    assert refusal(handmade.tar(handmade.special("dev/x", kind)), tmp_path).code == "bad_archive"


def test_sec_c1_setuid_setgid_and_sticky_bits_fall_away(tmp_path):
    tree = handmade.unpack(handmade.tar(handmade.special("su", tarfile.REGTYPE, mode=0o7755, size=3)), tmp_path)
    assert tree.entries["su"].mode == stat.S_IFREG | 0o755


def test_sec_c1_a_name_twice_is_refused(tmp_path):
    error = refusal(handmade.tar(("a", b"1"), ("./a", b"2")), tmp_path)
    assert error.message == "'a' is in the archive twice."
    tree = handmade.unpack(handmade.tar(handmade.special("d", tarfile.DIRTYPE), handmade.special("./d/", tarfile.DIRTYPE)), tmp_path)
    assert set(tree.entries) == {"d"}


def test_sec_b3_bombs_stop_at_the_limit(tmp_path):
    bomb = zipped(("zeros", bytes(20 * 1024**2)))
    assert len(bomb) < 50_000
    error = refusal(bomb, tmp_path, Limits(unpacked_bytes=1024**2))
    assert error.code == "too_large"
    assert (tmp_path / "spool").stat().st_size <= 1024**2


def test_sec_b3_hard_links_count_as_what_they_become(tmp_path):
    members = [("a", bytes(600_000)), *(handmade.special(f"b{number}", tarfile.LNKTYPE, "a") for number in range(9))]
    assert refusal(handmade.tar(*members), tmp_path, Limits(unpacked_bytes=5_000_000)).code == "too_large"


def test_sec_b3_a_sparse_file_counts_at_full_size(tmp_path):
    # A GNU sparse member: 512 bytes of data, 1 GiB of real size.
    info = tarfile.TarInfo("sparse")
    info.type = tarfile.GNUTYPE_SPARSE
    info.size = 512
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"00000000000\0" + b"00000001000\0"
    header[483:495] = b"10000000000\0"
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    data = bytes(header) + b"x" * 512 + bytes(1024)
    assert refusal(data, tmp_path, Limits(unpacked_bytes=1024**2)).code == "too_large"


def test_sec_b3_the_number_of_files_is_limited(tmp_path):
    data = handmade.tar(*((f"f{number}", b"") for number in range(30)))
    assert refusal(data, tmp_path, Limits(files=20)).code == "too_large"


@pytest.mark.parametrize(
    "data",
    [b"", b"hello, I am no archive at all" * 50, b"7z\xbc\xaf\x27\x1c" + bytes(600), b"#mtree\n./x type=file contents=/etc/passwd\n"],
)
def test_other_formats_are_refused(data, tmp_path):
    error = refusal(data, tmp_path)
    assert error.code == "bad_archive"


def test_a_truncated_archive_is_refused(tmp_path):
    whole = handmade.tar(("a", bytes(range(256)) * 400), mode="w:gz")
    assert refusal(whole[: len(whole) // 2], tmp_path).code == "bad_archive"


def test_an_encrypted_zip_is_refused(tmp_path):
    data = bytearray(zipped(("secret", b"x" * 64)))
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + at] |= 1  # "encrypted" in local header and directory
    assert refusal(bytes(data), tmp_path).code == "bad_archive"


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 2000), st.booleans())
def test_sec_i1_broken_archives_are_answers_not_tracebacks(tmp_path_factory, patch, at, as_zip):
    members = (("etc/hosts", b"10.0.2.2 bob\n"), ("a/b", b"x" * 300))
    data = bytearray(zipped(*members) if as_zip else handmade.tar(*members))
    data[at : at + len(patch)] = patch
    try:
        tree = handmade.unpack(bytes(data), tmp_path_factory.getbasetemp())
    except ImagingError:
        return
    assert all(member_path(path) == path for path in tree.entries)


@given(st.text(st.sampled_from("ab./ü"), max_size=12), st.text(st.sampled_from("ab./"), min_size=1, max_size=12))
def test_sec_c1_an_accepted_path_or_target_never_climbs(name, target):
    try:
        path = member_path(name)
        link_target(path, target)
    except ImagingError:
        return
    assert not path.startswith("/")
    assert ".." not in path.split("/")
    depth = 0 if target.startswith("/") else len(path.split("/")) - 1
    for part in target.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
    assert depth >= 0 or target.startswith("/")


def test_a_name_that_is_no_utf8_keeps_its_bytes(tmp_path):
    data = bytearray(zipped(("caf_.txt", b"x")))
    tree = handmade.unpack(bytes(data.replace(b"caf_", b"caf\xe9")), tmp_path)
    assert [path.encode("utf-8", "surrogateescape") for path in tree.entries] == [b"caf\xe9.txt"]
