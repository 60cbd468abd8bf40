"""Puts an image together: recipe + program + upload → members of a cpio archive. Called in the builder's child, and by tests."""

import fnmatch
import posixpath
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from instances.imaging import cpio
from instances.imaging.base import ImagingError, Recipe
from instances.imaging.base_archive import GUEST_FILES, HOME
from instances.imaging.elf import Elf, read_program
from instances.imaging.libraries import Libraries, Resolver
from instances.imaging.paths import member_path
from instances.imaging.span import Span
from instances.imaging.tree import Tree

# What a guest has of busybox unless the upload brings its own: a link each. Read at import, before the child is locked in.
APPLETS = tuple((GUEST_FILES / "applets").read_text().split())

# For programs that use the C library's look-ups; glibc ≥ 2.34 holds its "files" and "dns" modules itself.
_LOOKUP_FILES = (
    ("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"),
    ("etc/passwd", b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
    ("etc/group", b"root:x:0:\nnogroup:x:65534:\n"),
)
_MAX_HOSTS_BYTES = 64 * 1024
_MAX_HOSTS = 500


@dataclass(frozen=True)
class Image:
    """The members, ready to be written, and what the report says about them."""

    entries: list[cpio.Entry]
    program: str
    interpreter: str
    libraries: tuple[str, ...]
    hosts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def assemble(recipe: Recipe, program: Span | None, upload: Tree, system_library_dirs: tuple[Path, ...]) -> Image:
    """The image. Raises: ImagingError naming what is missing or wrong, see `Resolver.resolve` and `read_program`."""
    content, wanted = (program, recipe.program) if program else _program_of(upload, recipe)
    elf = _read(content, wanted, recipe.arch)
    tree = select(upload, recipe)
    path = _put_program(tree, wanted, content)
    found = Resolver(upload, system_library_dirs, recipe.arch).resolve(elf, wanted)
    libraries = _put_libraries(tree, found)
    _put_defaults(tree, found)
    return Image(cpio.with_parents(tree.entries.values()), f"/{path}", elf.interpreter, libraries, hosts_of(tree), tuple(found.notes))


def _program_of(upload: Tree, recipe: Recipe) -> tuple[Span, str]:
    """The program in the archive and its guest path: the member that is named, else the one at the guest path, else the only program."""
    if recipe.program_member:
        entry = upload.find(member_path(recipe.program_member))
        if entry is None or not isinstance(entry.content, Span):
            raise ImagingError("no_program", f"The archive holds no file {recipe.program_member!r} to run.")
        return entry.content, recipe.program
    programs = {path: entry.content for path, entry in upload.entries.items() if isinstance(entry.content, Span) and _may_run(entry)}
    own = recipe.program.lstrip("/")
    if own in programs:
        return programs[own], recipe.program
    if len(programs) != 1:
        known = f"The archive holds {len(programs)}: {', '.join(sorted(programs)[:10])}." if programs else "The archive holds none."
        raise ImagingError("no_program", f"Which program shall run? {known} Name it as Program in the config, or upload it by itself.")
    path, content = programs.popitem()
    return content, f"/{path}"


def _may_run(entry: cpio.Entry) -> bool:
    """An ELF file that the archive marks as executable and that is no library by its name."""
    name = posixpath.basename(entry.path)
    is_elf = isinstance(entry.content, Span) and entry.content.head(4) == b"\x7fELF"
    return is_elf and bool(entry.mode & 0o111) and not name.endswith(".so") and ".so." not in name


def _read(program: Span, path: str, arch: str) -> Elf:
    with program.open() as file:
        return read_program(file, posixpath.basename(path), arch)


def select(upload: Tree, recipe: Recipe) -> Tree:
    """The members that the recipe names (all of them when it names none), as a tree of their own.

    Raises: ImagingError("missing_files") with every name that the upload lacks.
    """
    if not (recipe.files or recipe.dirs or recipe.map_dirs):
        return _tree(upload.entries.values())
    chosen: dict[str, cpio.Entry] = {}
    missing: list[str] = []
    finders = (
        *((name, _named(upload, name)) for name in recipe.files),
        *((name, _below(upload, name)) for name in recipe.dirs),
        *((pattern, _mapped(upload, pattern, target)) for pattern, target in recipe.map_dirs),
    )
    for name, found in finders:
        if not found:
            missing.append(name)
        chosen.update((entry.path, entry) for entry in found)
    if missing:
        raise ImagingError("missing_files", f"The upload lacks {', '.join(missing)}, which the config names.")
    return _tree(chosen.values())


def _named(upload: Tree, name: str) -> list[cpio.Entry]:
    path = member_path(name)
    entry = upload.find(path)
    return [_at(path, entry)] if entry is not None and not stat.S_ISDIR(entry.mode) else []


def _below(upload: Tree, name: str) -> list[cpio.Entry]:
    directory = member_path(name)
    prefix = f"{directory}/" if directory else ""
    return [entry for path, entry in upload.entries.items() if path.startswith(prefix) or path == directory]


def _mapped(upload: Tree, pattern: str, target: str) -> list[cpio.Entry]:
    """OPS's MapDirs: files below the pattern's directory whose name matches its last part, under the target, sub-directories kept."""
    directory, _, glob = pattern.rpartition("/")
    prefix = f"{member_path(directory)}/" if member_path(directory) else ""
    place = member_path(target.lstrip("/"))
    return [
        _at(posixpath.join(place, path.removeprefix(prefix)), entry)
        for path, entry in upload.entries.items()
        if path.startswith(prefix) and fnmatch.fnmatchcase(posixpath.basename(path), glob) and not stat.S_ISDIR(entry.mode)
    ]


def _at(path: str, entry: cpio.Entry) -> cpio.Entry:
    return cpio.Entry(path, entry.mode, entry.content)


def _tree(entries: Iterable[cpio.Entry]) -> Tree:
    tree = Tree()
    for entry in entries:
        tree.add(entry)
    tree.check_parents()
    return tree


def _put_program(tree: Tree, guest_path: str, content: Span) -> str:
    path = tree.place(member_path(guest_path.lstrip("/")))
    there = tree.entries.get(path)
    is_directory = (there is not None and stat.S_ISDIR(there.mode)) or any(other.startswith(f"{path}/") for other in tree.entries)
    if not path or is_directory:
        raise ImagingError("bad_path", f"The program can't be put at {guest_path!r}: the archive has a directory there.")
    tree.entries[path] = cpio.Entry(path, stat.S_IFREG | 0o755, content)
    tree.check_parents()
    return path


def _put_libraries(tree: Tree, found: Libraries) -> tuple[str, ...]:
    """Adds what the program needs; what lies in the upload but was not selected is taken along."""
    for path, span in (found.from_upload | found.from_system).items():
        _put(tree, cpio.Entry(path, stat.S_IFREG | 0o755, span))
    for path, target in found.links.items():
        _put(tree, cpio.symlink(path, target))
    return tuple(sorted(f"/{tree.place(path)}" for path in found.from_system))


def _put_defaults(tree: Tree, found: Libraries) -> None:
    for entry in default_entries():
        _put(tree, entry)
    if found.uses_glibc:
        for path, content in _LOOKUP_FILES:
            _put(tree, cpio.regular(path, content))


def default_entries() -> list[cpio.Entry]:
    """Links to our busybox under its usual names."""
    paths = [*(f"bin/{applet}" for applet in APPLETS), "usr/bin/env"]
    return [cpio.symlink(path, f"/{HOME}/busybox") for path in paths]


def _put(tree: Tree, entry: cpio.Entry) -> None:
    """Adds a member of ours where the upload has none."""
    path = tree.place(entry.path)
    if path not in tree.entries:
        tree.entries[path] = _at(path, entry)


def hosts_of(tree: Tree) -> tuple[tuple[str, str], ...]:
    """The (address, name) pairs of the tree's etc/hosts, loopback left out; lines that are none are skipped (hosts(5))."""
    entry = tree.find("etc/hosts")
    if entry is None or not isinstance(entry.content, Span):
        return ()
    pairs: list[tuple[str, str]] = []
    for line in entry.content.head(_MAX_HOSTS_BYTES).decode("ascii", "replace").splitlines():
        words = line.split("#")[0].split()
        if words and _is_remote(words[0]):
            pairs += [(words[0], name) for name in words[1:]]
    return tuple(pairs[:_MAX_HOSTS])


def _is_remote(address: str) -> bool:
    try:
        return "%" not in address and not ip_address(address).is_loopback  # a zone ("%eth0") may hold any character
    except ValueError:
        return False
