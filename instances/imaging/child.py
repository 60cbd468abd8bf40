"""The builder's child process: reads one job from stdin, locks itself in, makes the image and prints one line of JSON.

Started by `builder.build` alone, as `python -m instances.imaging.child` in effect. All imports stand before the lock: afterwards the
code may be unreadable.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from instances.imaging import cpio
from instances.imaging.archive import ArchiveReader
from instances.imaging.base import ImagingError, Limits, Recipe
from instances.imaging.image import Image, assemble
from instances.imaging.jail import lock_in
from instances.imaging.span import Span
from instances.imaging.tree import Tree


def main() -> None:
    """One job. Whatever goes wrong with the upload is an answer; only a bug of ours ends in a traceback."""
    job = json.load(sys.stdin)
    limits = Limits(**job["limits"])
    lock_in(job["uid"], limits)
    try:
        answer = _answer(_build(job, limits))
    except ImagingError as error:
        answer = {"error": {"code": error.code, "message": error.message}}
    except MemoryError:
        answer = {"error": {"code": "too_large", "message": "The upload needs more memory to read than a build may take."}}
    sys.stdout.write(json.dumps(answer) + "\n")


def _build(job: dict[str, Any], limits: Limits) -> Image:
    upload = Tree() if job["archive"] is None else ArchiveReader(job["archive"], job["spool"], limits).read()
    program = None if job["program"] is None else Span(job["program"], 0, os.fstat(job["program"]).st_size)
    image = assemble(_recipe(job["recipe"]), program, upload, tuple(Path(path) for path in job["system_library_dirs"]))
    _write(image, job["output"], limits)
    return image


def _recipe(fields: dict[str, Any]) -> Recipe:
    pairs = tuple((pattern, target) for pattern, target in fields["map_dirs"])
    return Recipe(**{**fields, "files": tuple(fields["files"]), "dirs": tuple(fields["dirs"]), "map_dirs": pairs})


def _write(image: Image, output: int, limits: Limits) -> None:
    # Selected twice (MapDirs, hard links), a small upload could still grow.
    total = sum(entry.length for entry in image.entries)
    if total > limits.unpacked_bytes or len(image.entries) > 2 * limits.files:
        raise ImagingError("too_large", f"The image would be larger than {limits.unpacked_bytes // 1024**2} MiB or {limits.files} files.")
    try:
        with os.fdopen(output, "wb", closefd=False, buffering=1024 * 1024) as file:
            for piece in cpio.write(image.entries):
                file.write(piece)
    except OSError as error:
        raise ImagingError("too_large", f"The image can't be written: {error.strerror}.") from error


def _answer(image: Image) -> dict[str, Any]:
    return {
        "files": len(image.entries),
        "program": image.program,
        "interpreter": image.interpreter,
        "libraries": image.libraries,
        "hosts": image.hosts,
        "notes": image.notes,
    }


if __name__ == "__main__":
    main()
