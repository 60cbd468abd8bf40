"""Packs, uploads and lets the panel build an image; what fails leaves nothing behind. Used by `run` and `image create`."""

import os
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from opsweb.cli import operations, packing
from opsweb.cli.client import Json, Panel
from opsweb.cli.problems import Problem
from opsweb.cli.screen import Screen
from opsweb.cli.signals import held_back
from opsweb.cli.sources import Sources
from opsweb.cli.uploads import upload

BUILD_SECONDS = 300.0


def build(panel: Panel, screen: Screen, sources: Sources, name: str) -> Json:
    """Make the image `name`; returns it. Raises: Problem."""
    body: Json = {"name": name, "team": panel.team, "program_name": sources.program.name, "config": sources.config_text}
    body["program"] = _upload_program(panel, sources.program)
    body["files"] = _upload_files(panel, sources)
    with ExitStack() as undo:
        with held_back():
            answer = panel.post("images/", body)
            undo.callback(discard, panel, answer["image"])
        screen.notes(answer.get("notes") or [])
        operations.finish(panel, answer.get("operation"), seconds=BUILD_SECONDS)
        image = panel.patient(lambda: panel.get(f"images/{answer['image']['id']}/"))
        undo.pop_all()
    screen.notes(image.get("notes") or [])
    return image


def discard(panel: Panel, image: Json) -> None:
    """Remove an image that nobody will miss; one that is in use meanwhile stays."""
    with suppress(Problem):
        operations.finish(panel, panel.delete(f"images/{image['id']}/"), seconds=operations.DELETE_SECONDS)


def _upload_program(panel: Panel, program: Path) -> str:
    with program.open("rb") as file:
        return upload(panel, file, _size(file), program.name)


def _upload_files(panel: Panel, sources: Sources) -> str | None:
    if not sources.members:
        return None
    with tempfile.TemporaryFile(prefix="opsweb-") as archive:
        packing.write_tar(sources.members, archive)
        return upload(panel, archive, _size(archive), f"{sources.name}.tar")


def _size(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)
