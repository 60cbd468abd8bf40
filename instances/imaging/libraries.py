"""Finds the loader and the shared libraries of a program: in the upload first, else in allow-listed system directories of the panel.

Called in the builder's child. What it does for the guest is what ld.so(8) will do there, with the files at hand here.
"""

import os
import posixpath
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from instances.imaging.base import ImagingError
from instances.imaging.elf import Elf, read_library
from instances.imaging.span import Span
from instances.imaging.tree import Tree

# Where the loaders of Debian and others look by themselves; a library of the panel's goes to the first.
_DEFAULT_DIRS = {
    "x86_64": ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64", "lib", "usr/lib", "usr/local/lib"),
    "aarch64": ("lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu", "lib64", "usr/lib64", "lib", "usr/lib", "usr/local/lib"),
}
_GLIBC = "libc.so.6"
_MAX_LIBRARIES = 1000
_MAX_NAME = 255


@dataclass
class Libraries:
    """What was found. Descriptors of system files stay open for as long as the child lives."""

    from_system: dict[str, Span] = field(default_factory=dict)  # guest path → content
    from_upload: dict[str, Span] = field(default_factory=dict)  # guest path → content
    links: dict[str, str] = field(default_factory=dict)  # guest path → target, for libraries of the upload that lie elsewhere
    uses_glibc: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Wanted:
    name: str
    by: str  # guest path of the one that needs it
    search: tuple[str, ...]  # directories in the guest, from RPATH or RUNPATH


class Resolver:
    """Resolves one program's needs."""

    def __init__(self, upload: Tree, system_dirs: tuple[Path, ...], arch: str) -> None:
        self._upload = upload
        self._system = SystemDirs(system_dirs)
        self._arch = arch
        self._found = Libraries()
        self._known: dict[str, Elf] = {}  # library name → facts
        self._missing: dict[str, str] = {}  # name → who needs it
        self._own_loader = False

    def resolve(self, program: Elf, path: str) -> Libraries:
        """All libraries of the program at `path`. Nothing of a static one.

        Raises: ImagingError "missing_libraries" naming all that are missing at once, "bad_elf" or "wrong_arch" for an uploaded library,
        "old_libraries" where the panel's are older than what the program was linked against.
        """
        if program.interpreter:
            self._take_loader(program.interpreter, path)
            self._take_all(program, path)
        self._refuse_missing(path)
        self._refuse_old(program, path)
        self._found.uses_glibc = _GLIBC in self._known
        return self._found

    def _take_loader(self, interpreter: str, path: str) -> None:
        own = self._upload.find(interpreter)
        if own is not None and isinstance(own.content, Span):
            self._own_loader = True
            self._found.from_upload[interpreter.lstrip("/")] = own.content
            return
        span = self._system.open_path(interpreter)
        if span is None:
            self._missing[interpreter] = path
        else:
            self._found.from_system[interpreter.lstrip("/")] = span

    def _take_all(self, program: Elf, path: str) -> None:
        queue = deque(_wants(program, path))
        while queue:
            wanted = queue.popleft()
            if wanted.name in self._known or wanted.name in self._missing:
                continue
            if len(self._known) > _MAX_LIBRARIES:
                raise ImagingError("bad_elf", f"{path} needs more than {_MAX_LIBRARIES} libraries.")
            library = self._take(wanted)
            if library is None:
                self._missing[wanted.name] = wanted.by
            else:
                where, elf = library
                self._known[wanted.name] = elf
                queue.extend(_wants(elf, where))

    def _take(self, wanted: _Wanted) -> tuple[str, Elf] | None:
        return self._loader(wanted.name) or self._from_upload(wanted) or self._from_system(wanted)

    def _loader(self, name: str) -> tuple[str, Elf] | None:
        """The panel's loader, which libc names among its needs."""
        path = next((path for path in self._found.from_system if posixpath.basename(path) == name), None)
        return None if path is None else (path, self._read(self._found.from_system[path], name))

    def _from_upload(self, wanted: _Wanted) -> tuple[str, Elf] | None:
        if "/" in wanted.name:
            places = [wanted.name]
        else:
            places = [f"{directory}/{wanted.name}" for directory in (*wanted.search, *_DEFAULT_DIRS[self._arch])]
        for place in places:
            entry = self._upload.find(place)
            if entry is not None and isinstance(entry.content, Span):
                self._found.from_upload[place.lstrip("/")] = entry.content
                return place, self._read(entry.content, place)
        return self._from_elsewhere(wanted.name)

    def _from_elsewhere(self, name: str) -> tuple[str, Elf] | None:
        """A library that lies in the upload where no loader looks is linked to where it does."""
        for path in sorted(self._upload.entries):
            entry = self._upload.find(path)
            if posixpath.basename(path) == name and entry is not None and isinstance(entry.content, Span):
                self._found.from_upload[path] = entry.content
                self._found.links[f"{_DEFAULT_DIRS[self._arch][0]}/{name}"] = f"/{path}"
                self._found.notes.append(f"{name} was found at /{path} and linked to where the loader looks.")
                return path, self._read(entry.content, path)
        return None

    def _from_system(self, wanted: _Wanted) -> tuple[str, Elf] | None:
        # A loader of the upload's own (another glibc, musl) fits none of the panel's libraries.
        if self._own_loader or "/" in wanted.name:
            return None
        span = self._system.open_library(wanted.name)
        if span is None:
            return None
        path = f"{_DEFAULT_DIRS[self._arch][0]}/{wanted.name}"
        self._found.from_system[path] = span
        return path, self._read(span, wanted.name)

    def _read(self, span: Span, name: str) -> Elf:
        with span.open() as file:
            return read_library(file, name, self._arch)

    def _refuse_missing(self, path: str) -> None:
        if not self._missing:
            return
        names = ", ".join(f"{name} (needed by {by})" if by != path else name for name, by in sorted(self._missing.items()))
        hint = "all libraries beside your own loader" if self._own_loader else "them in an archive with the program, or link it statically"
        raise ImagingError("missing_libraries", f"{path} needs {names}, which are neither in the upload nor on the panel: upload {hint}.")

    def _refuse_old(self, program: Elf, path: str) -> None:
        old = [
            f"{version} of {library}"
            for library, version in sorted(program.wants)
            if library in self._known and self._known[library].offers and version not in self._known[library].offers
        ]
        if old:
            raise ImagingError(
                "old_libraries",
                f"{path} was linked against newer libraries than the panel has (it needs {', '.join(old)}): "
                "build it on an older system, link it statically, or upload its libraries and loader with it.",
            )


def _wants(elf: Elf, path: str) -> list[_Wanted]:
    origin = "/" + posixpath.dirname(path.lstrip("/"))
    search = tuple(directory.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for directory in elf.search)
    return [_Wanted(name, path, search) for name in elf.needed]


class SystemDirs:
    """The allow-listed directories. A name is opened only where its last target, symlinks followed, lies in one of them too."""

    def __init__(self, directories: tuple[Path, ...]) -> None:
        self._by_name = {directory: directory.resolve() for directory in directories if directory.is_dir()}
        self._real = list(self._by_name.values())

    def open_library(self, name: str) -> Span | None:
        """The library of this name; None where no directory has it."""
        return next((span for directory in self._real if (span := self._open(directory, name)) is not None), None)

    def open_path(self, path: str) -> Span | None:
        """The file at an absolute path whose directory is allow-listed, by the name it has in the list."""
        directory, name = posixpath.split(posixpath.normpath(path))
        # Looked up, not resolved: the path is the upload's.
        real = self._by_name.get(Path(directory))
        return None if real is None else self._open(real, name)

    def _open(self, directory: Path, name: str) -> Span | None:
        if "/" in name or name in ("", ".", "..") or len(name) > _MAX_NAME:
            return None
        real = (directory / name).resolve()
        if real.parent not in self._real or not real.is_file():
            return None
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return Span(descriptor, 0, os.fstat(descriptor).st_size)
