"""The fake host's files: one directory for all parts of a panel, whichever of its users a part runs as. Used by `fake`."""

import os
from pathlib import Path
from tempfile import NamedTemporaryFile


def make_directory(path: Path, group: int) -> None:
    """With its parents, for this group to read and write, and so all that is made in it."""
    if path.is_dir():
        return
    make_directory(path.parent, group)
    path.mkdir(mode=0o700, exist_ok=True)
    if path.stat().st_uid == os.geteuid():  # else another part was quicker
        os.chown(path, -1, group if os.geteuid() == 0 else -1)
        path.chmod(0o2770)


def write(path: Path, text: str, group: int) -> None:
    """Replace `path` by a file with this text, whole or not at all."""
    make_directory(path.parent, group)
    with NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        os.fchmod(file.fileno(), 0o640)
        file.write(text)
    Path(file.name).replace(path)
