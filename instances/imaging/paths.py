"""Rules for paths inside an upload. Pure: config files, archives and recipes are held to the same ones."""

import posixpath

from instances.imaging.base import ImagingError

_MAX_PATH_BYTES = 4095  # PATH_MAX and NAME_MAX of Linux
_MAX_NAME_BYTES = 255


def member_path(name: str) -> str:
    """A name as a path relative to the upload's root, normal; "" for the root itself.

    Raises: ImagingError("bad_path") for one that is absolute, climbs, holds control characters or is too long.
    """
    if name.startswith("/"):
        raise ImagingError("bad_path", f"{_shown(name)} is an absolute path: paths are relative and inside the upload.")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ImagingError("bad_path", f"{_shown(name)} leaves the upload: paths are inside it only.")
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise ImagingError("bad_path", f"{_shown(name)} holds a control character.")
    encoded = [part.encode("utf-8", "surrogateescape") for part in parts]
    if max(map(len, encoded), default=0) > _MAX_NAME_BYTES or sum(map(len, encoded)) + len(encoded) > _MAX_PATH_BYTES:
        raise ImagingError("bad_path", f"{_shown(name)} is too long for Linux.")
    return "/".join(parts)


def link_target(path: str, target: str) -> str:
    """A symlink's target, as it is. An absolute one means the guest's root. Raises: ImagingError("bad_path") for one that climbs out."""
    if not target or "\0" in target or len(target.encode("utf-8", "surrogateescape")) > _MAX_PATH_BYTES:
        raise ImagingError("bad_path", f"The symbolic link {_shown(path)} has no usable target.")
    where = posixpath.normpath(target if target.startswith("/") else posixpath.join(posixpath.dirname(path), target))
    if where == ".." or where.startswith("../"):
        raise ImagingError("bad_path", f"The symbolic link {_shown(path)} points to {_shown(target)}, outside the upload.")
    return target


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 80 else name[:77] + "...")
