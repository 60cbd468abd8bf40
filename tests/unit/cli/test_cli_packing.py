"""Packing: what a config names, byte for byte the same each time, and never a file from outside its directory."""

import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from opsweb.cli.config_file import of
from opsweb.cli.packing import choose, hosts_file, write_tar
from opsweb.cli.problems import Usage


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "z"
    for name in ("etc/hosts", "static/a.txt", "static/deep/b.txt", "static/deep/c.png", "tool"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "tool").chmod(0o700)
    (root / "static" / "empty").mkdir()
    return root


def names(root: Path, **config: Any) -> list[str]:
    return [member.name for member in choose(of(root / "config.json", "", config))]


def packed(root: Path, **config: Any) -> bytes:
    target = io.BytesIO()
    write_tar(choose(of(root / "config.json", "", config)), target)
    return target.getvalue()


def test_files_dirs_and_map_dirs_are_packed_under_the_names_the_config_uses(tree: Path) -> None:
    assert names(tree, Files=["etc/hosts", "./tool"]) == ["etc/hosts", "tool"]
    assert names(tree, Dirs=["static"]) == [
        "static", "static/a.txt", "static/deep", "static/deep/b.txt", "static/deep/c.png", "static/empty",
    ]  # fmt: skip
    assert names(tree, MapDirs={"static/*.txt": "/www"}) == ["static/a.txt", "static/deep/b.txt"]
    assert names(tree, MapDirs={"static/deep/*": "/www"}) == ["static/deep/b.txt", "static/deep/c.png"]


def test_keys_are_taken_in_any_case_as_ops_does(tree: Path) -> None:
    assert names(tree, fILES=["tool"], DIRS=["etc"]) == ["etc", "etc/hosts", "tool"]


def test_local_files_parent_directory_is_where_names_begin(tree: Path) -> None:
    assert names(tree, LocalFilesParentDirectory="static", Files=["a.txt"], Dirs=["deep"]) == [
        "a.txt", "deep", "deep/b.txt", "deep/c.png",
    ]  # fmt: skip


def test_the_same_files_give_the_same_bytes(tree: Path) -> None:
    first = packed(tree, Dirs=["static"], Files=["tool"])
    for path in tree.rglob("*"):
        os.utime(path, (1, 1))
    assert packed(tree, Files=["tool"], Dirs=["static"]) == first


def test_the_archive_carries_nothing_of_who_packed_it(tree: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed(tree, Dirs=["static"], Files=["tool"]))) as tar:
        facts = {(entry.uid, entry.gid, entry.uname, entry.gname, entry.mtime) for entry in tar}
        modes = {entry.name: entry.mode for entry in tar}
    assert facts == {(0, 0, "", "", 0)}
    assert (modes["tool"], modes["static/a.txt"], modes["static/deep"]) == (0o755, 0o644, 0o755)


@pytest.mark.parametrize("name", ["/etc/passwd", "/passwd", "../secret", "static/../../secret", "out", "outdir/secret", "nul\0"])
def test_sec_c1_nothing_outside_the_directory_is_read(tree: Path, name: str) -> None:
    """SEC-C1: absolute, upward, and by a link."""
    (tree.parent / "secret").write_text("secret")
    (tree / "out").symlink_to("../secret")
    (tree / "outdir").symlink_to("..")
    for key, value in (("Files", [name]), ("Dirs", [name]), ("MapDirs", {name: "/x"})):
        with pytest.raises(Usage, match="out of|outside"):
            names(tree, **{key: value})


def test_sec_c1_a_link_out_of_the_directory_is_refused_inside_dirs_too(tree: Path) -> None:
    """SEC-C1."""
    (tree / "static" / "out").symlink_to("/etc")
    with pytest.raises(Usage, match="static/out is a link out of"):
        names(tree, Dirs=["static"])


def test_sec_c1_the_parent_directory_of_local_files_may_not_lead_out(tree: Path) -> None:
    """SEC-C1."""
    with pytest.raises(Usage, match="outside"):
        names(tree, LocalFilesParentDirectory="..", Files=["z/tool"])


def test_a_link_inside_the_directory_is_packed_as_what_it_points_to(tree: Path) -> None:
    (tree / "etc" / "alias").symlink_to("../static/a.txt")
    with tarfile.open(fileobj=io.BytesIO(packed(tree, Files=["etc/alias"]))) as tar:
        content = tar.extractfile("etc/alias")
        assert content is not None
        assert content.read() == b"static/a.txt"


def test_a_link_to_a_directory_around_it_does_not_go_round_for_ever(tree: Path) -> None:
    (tree / "static" / "deep" / "up").symlink_to("..")
    with pytest.raises(Usage, match="holds it"):
        names(tree, Dirs=["static"])


def test_everything_that_is_missing_is_named_at_once(tree: Path) -> None:
    with pytest.raises(Usage) as told:
        names(tree, Files=["a", "static"], Dirs=["b", "tool"], MapDirs={"c/*": "/", "static/*.jpg": "/"})
    for part in (
        "a is not there",
        "static is a directory",
        "b is not there",
        "tool is not a directory",
        "c is not there",
        "static/*.jpg matches nothing",
    ):
        assert part in told.value.message


def test_a_socket_is_not_packed(tree: Path) -> None:
    os.mkfifo(tree / "static" / "pipe")
    with pytest.raises(Usage, match="neither file nor directory"):
        names(tree, Dirs=["static"])


def test_an_etc_hosts_is_found_beside_the_program_but_never_the_hosts_own(tree: Path, tmp_path: Path) -> None:
    assert [member.path for member in hosts_file([tmp_path, tree])] == [tree / "etc" / "hosts"]
    assert hosts_file([tmp_path]) == ()
    assert hosts_file([Path("/")]) == ()
