"""Chooses the files that a config names and packs them into one tar: the same files give the same bytes. Used by sources and building.

Whatever the config says, nothing outside its directory is read: a config may come from somewhere else than its reader's own hands.
"""

import posixpath
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from opsweb.cli.config_file import ConfigFile
from opsweb.cli.problems import Usage


@dataclass(frozen=True)
class Member:
    """One file or directory of the archive: its name there, and where its content lies."""

    name: str
    path: Path


def choose(config: ConfigFile) -> tuple[Member, ...]:
    """What Files, Dirs and MapDirs name, sorted by name.

    Raises: Usage that names everything that is missing or lies outside the config's directory, all at once (SEC-C1).
    """
    chooser = _Chooser(config)
    found = [
        *(member for name in config.files for member in chooser.file(name)),
        *(member for name in config.dirs for member in chooser.tree(name)),
        *(member for pattern in config.map_dirs for member in chooser.matching(pattern)),
    ]
    if chooser.problems:
        raise Usage("These files of the config can't be packed: " + "; ".join(chooser.problems) + ".", code="bad_files")
    return tuple(sorted({member.name: member for member in found}.values(), key=lambda member: member.name))


def hosts_file(directories: Iterable[Path]) -> tuple[Member, ...]:
    """An etc/hosts in the first of `directories` that has one; the host's own is never meant."""
    for directory in directories:
        path = directory.resolve() / "etc" / "hosts"
        if path.is_file() and not path.is_symlink() and path != Path("/etc/hosts"):
            return (Member("etc/hosts", path),)
    return ()


def write_tar(members: Iterable[Member], target: BinaryIO) -> None:
    """Write the archive: owner, times and order never depend on who packs, or when. Raises: Usage if a file can't be read."""
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            try:
                _add(tar, member)
            except OSError as error:
                raise Usage(f"{member.path} can't be packed: {error.strerror or error}.", code="bad_files") from error


def _add(tar: tarfile.TarFile, member: Member) -> None:
    entry = tarfile.TarInfo(member.name)
    if member.path.is_dir():
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(entry)
        return
    with member.path.open("rb") as content:
        found = member.path.stat()
        entry.mode = 0o755 if found.st_mode & stat.S_IXUSR else 0o644
        entry.size = found.st_size
        tar.addfile(entry, content)


class _Chooser:
    def __init__(self, config: ConfigFile) -> None:
        self._root = config.root
        self._real_root = config.root.resolve()
        self.problems: list[str] = []
        if config.parent and not self._real_root.is_relative_to(config.path.parent.resolve()):
            self.problems.append(f"LocalFilesParentDirectory {config.parent} is outside the config's directory")

    def file(self, name: str) -> Iterator[Member]:
        path = self._inside(name)
        if path is not None and path.is_dir():
            self.problems.append(f"{name} is a directory (name it in Dirs)")
        elif path is not None:
            yield Member(_plain(name), path)

    def tree(self, name: str) -> Iterator[Member]:
        path = self._inside(name)
        if path is not None and not path.is_dir():
            self.problems.append(f"{name} is not a directory (name it in Files)")
        elif path is not None:
            yield from self._walk(_plain(name), path, ())

    def matching(self, pattern: str) -> Iterator[Member]:
        """As OPS and the panel: below the pattern's directory, files whose name fits its last part, however deep."""
        directory, slash, last = pattern.rpartition("/")
        tree = list(self.tree(directory or slash or "."))
        fitting = [member for member in tree if fnmatchcase(posixpath.basename(member.name), last) and not member.path.is_dir()]
        if tree and not fitting:
            self.problems.append(f"MapDirs {pattern} matches nothing")
        yield from fitting

    def _walk(self, name: str, path: Path, above: tuple[Path, ...]) -> Iterator[Member]:
        real = path.resolve()
        if real in above:
            self.problems.append(f"{name} is a link to a directory that holds it")
            return
        if name:
            yield Member(name, path)
        for child in sorted(path.iterdir()):
            inner = f"{name}/{child.name}" if name else child.name
            if self._inside(inner) is None:
                continue
            if child.is_dir():
                yield from self._walk(inner, child, (*above, real))
            else:
                yield Member(inner, child)

    def _inside(self, name: str) -> Path | None:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\0" in name:
            self.problems.append(f"{name} is outside the config's directory")
            return None
        path = self._root / name
        real = path.resolve()
        if not real.is_relative_to(self._real_root):
            self.problems.append(f"{name} is a link out of the config's directory")
        elif not real.exists():
            self.problems.append(f"{name} is not there")
        elif not (real.is_file() or real.is_dir()):
            self.problems.append(f"{name} is neither file nor directory")
        else:
            return path
        return None


def _plain(name: str) -> str:
    text = posixpath.normpath(name)
    return "" if text == "." else text
