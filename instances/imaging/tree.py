"""A guest's file tree while an image is made; symlinks are followed inside it and nowhere else. Used in the builder's child."""

import posixpath
import stat

from instances.imaging.base import ImagingError
from instances.imaging.cpio import Entry

_MAX_LINKS = 40  # as the kernel (path_resolution(7))


class Tree:
    """Members by relative path, as in `cpio.Entry`."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def add(self, entry: Entry) -> None:
        """Put one member in. A directory may come twice; anything else twice or under a file is refused.

        Raises: ImagingError("bad_archive").
        """
        there = self.entries.get(entry.path)
        if there is not None and stat.S_ISDIR(entry.mode) and stat.S_ISDIR(there.mode):
            return
        if there is not None:
            raise ImagingError("bad_archive", f"{entry.path!r} is in the archive twice.")
        self.entries[entry.path] = entry

    def check_parents(self) -> None:
        """Every parent is a directory. Raises: ImagingError("bad_archive") for a member that lies under a file or a symlink."""
        for path in self.entries:
            parent = posixpath.dirname(path)
            while parent:
                above = self.entries.get(parent)
                if above is not None and not stat.S_ISDIR(above.mode):
                    raise ImagingError("bad_archive", f"{path!r} lies under {parent!r}, which is no directory.")
                parent = posixpath.dirname(parent)

    def place(self, path: str) -> str:
        """Where a new member at `path` really goes: symlinks among its parents are followed (bin → usr/bin), the last part is not.

        Raises: ImagingError("bad_archive") for a loop of symlinks.
        """
        return self._walk(path, follow_last=False)

    def find(self, path: str) -> Entry | None:
        """The member that opening `path` would open in the guest, symlinks followed; None where there is none."""
        try:
            return self.entries.get(self._walk(path, follow_last=True))
        except ImagingError:
            return None

    def _walk(self, path: str, follow_last: bool) -> str:
        left = [part for part in path.split("/") if part]
        done: list[str] = []
        links = 0
        while left:
            part = left.pop(0)
            if part in (".", ".."):
                done = done[:-1] if part == ".." else done
                continue
            entry = self.entries.get("/".join([*done, part]))
            if entry is None or not stat.S_ISLNK(entry.mode) or not (left or follow_last):
                done.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise ImagingError("bad_archive", f"{path!r} leads through a loop of symbolic links.")
            target = _target(entry)
            done = [] if target.startswith("/") else done
            left = [*(word for word in target.split("/") if word), *left]
        return "/".join(done)


def _target(entry: Entry) -> str:
    assert isinstance(entry.content, bytes)  # a symlink's content always is
    return entry.content.decode("utf-8", "surrogateescape")
