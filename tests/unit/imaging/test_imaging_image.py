"""What goes into an image: the program, what the recipe selects, libraries, defaults; symlinked directories are followed inside it."""

import os
import stat
import tarfile

import handmade
import pytest

from instances.imaging.base import ImagingError, Recipe
from instances.imaging.image import APPLETS, assemble, hosts_of
from instances.imaging.span import Span
from instances.imaging.tree import Tree

STATIC = handmade.elf()
MEMBERS = (("etc/hosts", b"10.0.2.2 bob\n"), ("static/a.txt", b"A"), ("static/css/b.css", b"B"), ("notes.txt", b"N"), ("bin/g", STATIC))


@pytest.fixture
def program(tmp_path):
    """A static program as an upload of its own."""
    path = tmp_path / "program"
    path.write_bytes(STATIC)
    descriptor = os.open(path, os.O_RDONLY)
    yield Span(descriptor, 0, len(STATIC))
    os.close(descriptor)


@pytest.fixture
def upload(tmp_path):
    """MEMBERS as an unpacked archive."""
    return handmade.unpack(handmade.tar(*MEMBERS), tmp_path)


def files(image):
    """The image's members beside applet links and directories."""
    applets = {f"bin/{name}" for name in APPLETS} | {"usr/bin/env"}
    return {entry.path for entry in image.entries if entry.path not in applets and not stat.S_ISDIR(entry.mode)}


def test_a_program_alone(program):
    image = assemble(Recipe("/g"), program, Tree(), ())
    assert files(image) == {"g"}
    assert next(entry for entry in image.entries if entry.path == "g").mode == stat.S_IFREG | 0o755
    assert {"bin/sh", "usr/bin/env"} <= {entry.path for entry in image.entries}


def test_without_a_selection_the_whole_archive_comes_along(program, upload):
    assert files(assemble(Recipe("/g"), program, upload, ())) == {"g", *(name for name, _ in MEMBERS)}


@pytest.mark.parametrize(
    ("recipe", "selected"),
    [
        (Recipe("/g", files=("etc/hosts",)), {"etc/hosts"}),
        (Recipe("/g", files=("./etc//hosts",)), {"etc/hosts"}),
        (Recipe("/g", dirs=("static",)), {"static/a.txt", "static/css/b.css"}),
        (Recipe("/g", map_dirs=(("static/*", "/www"),)), {"www/a.txt", "www/css/b.css"}),
        (
            Recipe("/g", map_dirs=(("static/*.css", "/www"), ("*.txt", "/texts"))),
            {"www/css/b.css", "texts/notes.txt", "texts/static/a.txt"},
        ),
    ],
)
def test_files_dirs_and_map_dirs_select(recipe, selected, program, upload):
    assert files(assemble(recipe, program, upload, ())) == {"g", *selected}


def test_all_that_the_upload_lacks_is_named(program, upload):
    with pytest.raises(ImagingError) as caught:
        assemble(Recipe("/g", files=("nope", "etc/hosts"), dirs=("gone",), map_dirs=(("x/*", "/x"),)), program, upload, ())
    assert caught.value.code == "missing_files"
    assert "nope, gone, x/*" in caught.value.message


@pytest.mark.parametrize("name", ["/etc/passwd", "../x"])
def test_sec_c1_a_selection_never_leaves_the_upload(name, program, upload):
    for recipe in (Recipe("/g", files=(name,)), Recipe("/g", dirs=(name,)), Recipe("/g", map_dirs=((f"{name}/*", "/x"),))):
        with pytest.raises(ImagingError) as caught:
            assemble(recipe, program, upload, ())
        assert caught.value.code == "bad_path"


def test_a_program_inside_the_archive(upload):
    assert assemble(Recipe("/bin/g", program_member="bin/g"), None, upload, ()).program == "/bin/g"
    assert assemble(Recipe("/bin/g"), None, upload, ()).program == "/bin/g"
    assert assemble(Recipe("/web1"), None, upload, ()).program == "/bin/g"  # the only one there is


def test_which_program_must_be_clear(tmp_path, upload):
    several = handmade.unpack(handmade.tar(("a", STATIC), ("b", STATIC)), tmp_path)
    with pytest.raises(ImagingError, match="holds 2: a, b"):
        assemble(Recipe("/web1"), None, several, ())
    with pytest.raises(ImagingError, match="holds none"):
        assemble(Recipe("/web1"), None, Tree(), ())
    with pytest.raises(ImagingError, match="no file 'nope'"):
        assemble(Recipe("/x", program_member="nope"), None, upload, ())


def test_a_directory_where_the_program_belongs(program, upload):
    with pytest.raises(ImagingError, match="a directory there"):
        assemble(Recipe("/static"), program, upload, ())


def test_directories_that_are_symlinks_are_followed_for_our_own_members(program, tmp_path):
    merged = handmade.unpack(handmade.tar(handmade.special("bin", tarfile.SYMTYPE, "usr/bin"), ("usr/bin/ls", b"own")), tmp_path)
    image = assemble(Recipe("/bin/g"), program, merged, ())
    assert image.program == "/usr/bin/g"
    assert "usr/bin/sh" in {entry.path for entry in image.entries}
    assert "bin/sh" not in {entry.path for entry in image.entries}
    assert [entry.content for entry in image.entries if entry.path == "usr/bin/ls"] != ["/.opsweb/busybox"]


def test_a_loop_of_symlinks_is_refused(program, tmp_path):
    loop = handmade.unpack(handmade.tar(handmade.special("a", tarfile.SYMTYPE, "b"), handmade.special("b", tarfile.SYMTYPE, "a")), tmp_path)
    with pytest.raises(ImagingError, match="loop"):
        assemble(Recipe("/a/g"), program, loop, ())


def test_hosts_are_read_without_loopback_comments_and_rubbish(tmp_path):
    text = b"# mine\n127.0.0.1 localhost\n::1 ip6\n10.0.2.2\tbob bob.lan # the server\nnot-an-address x\nfd00::2 eve\n\n10.0.2.3\n"
    tree = handmade.unpack(handmade.tar(("etc/hosts", text)), tmp_path)
    assert hosts_of(tree) == (("10.0.2.2", "bob"), ("10.0.2.2", "bob.lan"), ("fd00::2", "eve"))
    assert hosts_of(Tree()) == ()


def test_a_zone_of_an_ipv6_address_reaches_no_guest(tmp_path):
    """SEC-C1, SEC-D1: ipaddress takes any characters behind a "%", also what no text of ours can hold."""
    lines = "fe80::1%\N{SNOWMAN} eve\nfe80::1%eth0 eve\n::1%x me\n10.0.2.2 bob\n".encode()
    assert hosts_of(handmade.unpack(handmade.tar(("etc/hosts", lines)), tmp_path)) == (("10.0.2.2", "bob"),)
