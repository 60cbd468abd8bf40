"""Reads OPS's config.json as far as the client needs it: which files to pack. The panel judges the rest. Used by sources."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opsweb.cli.client import Json, Panel
from opsweb.cli.problems import Senseless, Usage
from opsweb.cli.screen import Screen

MAX_BYTES = 1024**2


@dataclass(frozen=True)
class ConfigFile:
    """The text as it was written, and the fields that name files; paths in them are relative to `root`."""

    path: Path
    text: str
    program: str = ""
    image_name: str = ""
    instance_name: str = ""
    files: tuple[str, ...] = ()
    dirs: tuple[str, ...] = ()
    map_dirs: tuple[str, ...] = ()
    parent: str = ""

    @property
    def root(self) -> Path:
        """Where its Files, Dirs and MapDirs are looked up."""
        return self.path.parent / self.parent

    @property
    def names_files(self) -> bool:
        """Whether it says what to pack."""
        return bool(self.files or self.dirs or self.map_dirs)


def load(path: Path, panel: Panel, screen: Screen) -> ConfigFile:
    """Read the file, let the panel check it before anything is sent, and print what the panel notes.

    Raises: Usage if it can't be read, or, with line, column and mend, if the panel does not take it.
    """
    text = _text(path)
    screen.notes(_check(path, text, panel).get("notes") or [])
    return of(path, text, json.loads(text))


def of(path: Path, text: str, values: object) -> ConfigFile:
    """The fields of a decoded config; keys in any case, as OPS takes them. Raises: Usage for a value of another type."""
    config = _lowered(values, "the config")
    run = _lowered(config.get("runconfig") or {}, "RunConfig")
    cloud = _lowered(config.get("cloudconfig") or {}, "CloudConfig")
    return ConfigFile(
        path,
        text,
        program=_word(config, "program") or _word(config, "programpath"),
        image_name=_word(run, "imagename") or _word(cloud, "imagename"),
        instance_name=_word(run, "instancename"),
        files=_words(config, "files"),
        dirs=_words(config, "dirs"),
        map_dirs=tuple(_lowered(config.get("mapdirs") or {}, "MapDirs", fold=False)),
        parent=_word(config, "localfilesparentdirectory"),
    )


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise Usage(f"{path} has more than {MAX_BYTES} bytes; that is no config.", code="bad_config")
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise Usage(f"{path} can't be read: {error.strerror}.", code="no_config") from error
    except UnicodeDecodeError as error:
        raise Usage(f"{path} is not UTF-8 text.", code="bad_config") from error


def check(panel: Panel, text: str, **beside: Sequence[str] | None) -> Json:
    """What the panel makes of a config and of ports said beside it. Raises: Usage, since none of it was acted on."""
    try:
        return panel.post("config/check", {"text": text or "\n", **beside})  # a post leaves out what is empty
    except Senseless as problem:
        raise Usage(problem.message, code=problem.code, fields=problem.fields, request_id=problem.request_id) from problem


def _check(path: Path, text: str, panel: Panel) -> Json:
    try:
        return check(panel, text)
    except Usage as problem:
        if "line" in problem.fields:
            line, column = (_first(problem.fields.get(name, 0)) for name in ("line", "column"))
            problem.message = f"{path}:{line}:{column}: {problem.message}"
        raise


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _lowered(value: object, what: str, *, fold: bool = True) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Usage(f"{what} must be an object in braces.", code="bad_config")
    return {str(key).lower() if fold else str(key): item for key, item in value.items()}


def _word(config: Mapping[str, Any], key: str) -> str:
    value = config.get(key) or ""
    if not isinstance(value, str):
        raise Usage(f"{key} in the config must be a text in quotes.", code="bad_config")
    return value


def _words(config: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = config.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Usage(f"{key} in the config must be a list of texts.", code="bad_config")
    return tuple(value)
