"""Reads OPS's config.json: what the panel honours as typed fields, a note for everything else, an error that says how to mend it.

Pure, and called by services, API and CLI tests alike. Nothing in a config can name a file, an address or a command of the host (SEC-C2).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from instances.imaging import opsfields
from instances.imaging.base import Recipe
from instances.imaging.opsjson import ConfigError, decode
from instances.imaging.opsnetwork import Bridging, read_bridging
from instances.imaging.opsvalues import (
    as_addresses,
    as_count,
    as_flag,
    as_mapping,
    as_memory,
    as_path,
    as_paths,
    as_text,
    as_texts,
    as_variables,
    section,
)
from instances.imaging.paths import member_path

__all__ = ["ConfigError", "Note", "OpsConfig", "parse", "read", "recipe_from"]

T = TypeVar("T")


@dataclass(frozen=True)
class Note:
    """What happens to one field that is not simply honoured."""

    field: str
    note: str


@dataclass(frozen=True)
class OpsConfig:
    """The honoured fields; None or empty where the config says nothing. Ports are in OPS's own grammar, not taken apart here."""

    args: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    dirs: tuple[str, ...] = ()
    map_dirs: tuple[tuple[str, str], ...] = ()
    nameservers: tuple[str, ...] = ()
    reboot_on_exit: bool = False
    program: str = ""
    memory_mib: int | None = None
    vcpus: int | None = None
    ports: tuple[str, ...] = ()
    udp_ports: tuple[str, ...] = ()
    instance_name: str = ""
    image_name: str = ""
    bridging: Bridging = Bridging()
    notes: tuple[Note, ...] = ()


def parse(text: str) -> OpsConfig:
    """A config's text. Raises: ConfigError."""
    return read(decode(text))


def read(value: Any) -> OpsConfig:
    """A decoded config. Raises: ConfigError."""
    top = section("", value)
    run = section("RunConfig", top.get("RunConfig", {}))
    cloud = section("CloudConfig", top.get("CloudConfig", {}))
    return OpsConfig(
        args=_get(top, "Args", as_texts),
        env=_get(top, "Env", as_variables) or {},
        files=_get(top, "Files", as_paths),
        dirs=_get(top, "Dirs", as_paths),
        map_dirs=_get(top, "MapDirs", as_mapping),
        nameservers=_get(top, "NameServers", as_addresses),
        reboot_on_exit=bool(_get(top, "RebootOnExit", as_flag)),
        program=_get(top, "Program", as_path),
        memory_mib=_get(run, "Memory", as_memory, "RunConfig.") or None,
        vcpus=_get(run, "CPUs", as_count, "RunConfig.") or None,
        ports=_get(run, "Ports", as_texts, "RunConfig."),
        udp_ports=_get(run, "UDPPorts", as_texts, "RunConfig."),
        instance_name=_get(run, "InstanceName", as_text, "RunConfig.") or "",
        image_name=_get(cloud, "ImageName", as_text, "CloudConfig.") or _get(run, "ImageName", as_text, "RunConfig.") or "",
        bridging=read_bridging(run),
        notes=(*_notes("", top), *_notes("RunConfig", run), *_notes("CloudConfig", cloud)),
    )


def recipe_from(config: OpsConfig | None, program_name: str) -> Recipe:
    """What the builder is told. `program_name` is the uploaded ELF's file name; "" when the program is a member of the archive.

    Raises: ConfigError("no_program") when there is neither; ImagingError("bad_path").
    """
    config = config or OpsConfig()
    inside = member_path(config.program)
    uploaded = member_path(program_name.rpartition("/")[2])
    path = inside or uploaded
    if not path:
        raise ConfigError("no_program", "There is no program to run.", field="Program", mend="Name the one in the archive as Program.")
    return Recipe(
        program=f"/{path}",
        program_member="" if uploaded else inside,
        files=config.files,
        dirs=config.dirs,
        map_dirs=config.map_dirs,
    )


def _notes(part: str, fields: Mapping[str, Any]) -> list[Note]:
    """A note for each field that says something (not empty, not false) and is not simply honoured."""
    prefix = f"{part}." if part else ""
    return [
        Note(prefix + name, f"{name} {opsfields.FIELDS[part][name]}")
        for name, value in fields.items()
        if opsfields.FIELDS[part][name] and value not in ("", 0, False, [], {}, "onprem")
    ]


def _get(fields: Mapping[str, Any], name: str, reader: Callable[[str, Any], T], prefix: str = "") -> T:
    """The field read by `reader`, which also gives the value for one that is not there."""
    return reader(prefix + name, fields.get(name))
