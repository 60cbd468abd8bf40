"""Reads OPS's config.json: what the panel honours as typed fields, a note for everything else, an error that says how to mend it.

Pure, and called by services, API and CLI tests alike. Nothing in a config can name a file, an address or a command of the host (SEC-C2).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final, TypeVar

from instances.imaging import opsfields
from instances.imaging.base import ImagingError, Recipe
from instances.imaging.opsjson import ConfigError, decode
from instances.imaging.paths import member_path

__all__ = ["ConfigError", "Note", "OpsConfig", "parse", "read", "recipe_from"]

MAX_VCPUS: Final = 256
MAX_MEMORY_MIB: Final = 1024 * 1024

_MEMORY = re.compile(r"(\d{1,12})\s*([kKmMgGtT]?)[bB]?")
_KIB = {"k": 1, "": 1024, "m": 1024, "g": 1024**2, "t": 1024**3}  # a bare number is MiB, as for QEMU

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
    network: Mapping[str, Any] = field(default_factory=dict)  # RunConfig's bridge and address fields, kept as they are
    notes: tuple[Note, ...] = ()


def parse(text: str) -> OpsConfig:
    """A config's text. Raises: ConfigError."""
    return read(decode(text))


def read(value: Any) -> OpsConfig:
    """A decoded config. Raises: ConfigError."""
    top = _section("", value)
    run = _section("RunConfig", top.get("RunConfig", {}))
    cloud = _section("CloudConfig", top.get("CloudConfig", {}))
    return OpsConfig(
        args=_get(top, "Args", _texts),
        env=_get(top, "Env", _variables) or {},
        files=_get(top, "Files", _paths),
        dirs=_get(top, "Dirs", _paths),
        map_dirs=_get(top, "MapDirs", _mapping),
        nameservers=_get(top, "NameServers", _addresses),
        reboot_on_exit=bool(_get(top, "RebootOnExit", _flag)),
        program=_get(top, "Program", _path),
        memory_mib=_get(run, "Memory", _memory, "RunConfig.") or None,
        vcpus=_get(run, "CPUs", _count, "RunConfig.") or None,
        ports=_get(run, "Ports", _texts, "RunConfig."),
        udp_ports=_get(run, "UDPPorts", _texts, "RunConfig."),
        instance_name=_get(run, "InstanceName", _text, "RunConfig.") or "",
        image_name=_get(cloud, "ImageName", _text, "CloudConfig.") or _get(run, "ImageName", _text, "RunConfig.") or "",
        network=_network(run),
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


def _section(name: str, value: Any) -> dict[str, Any]:
    """The fields in OPS's own spelling; null counts as not there. Raises: ConfigError for an unknown field or one given twice."""
    if not isinstance(value, dict):
        raise _bad(name or "the config", value, "an object in braces { }")
    fields: dict[str, Any] = {}
    for given, content in value.items():
        known = opsfields.spelled(name, given)
        full = f"{name}.{given}" if name else given
        if known is None:
            mend = opsfields.suggestion(name, given)
            raise ConfigError("unknown_field", f"{name or 'The config'} has no field {given}. {mend}".strip(), field=full, mend=mend)
        if known in fields:
            raise ConfigError("bad_value", f"{known} is there twice, in different spellings.", field=full, mend=f"Keep one {known}.")
        fields[known] = content
    return {known: content for known, content in fields.items() if content is not None}


def _notes(section: str, fields: Mapping[str, Any]) -> list[Note]:
    """A note for each field that says something (not empty, not false) and is not simply honoured."""
    prefix = f"{section}." if section else ""
    return [
        Note(prefix + name, f"{name} {opsfields.FIELDS[section][name]}")
        for name, value in fields.items()
        if opsfields.FIELDS[section][name] and value not in ("", 0, False, [], {}, "onprem")
    ]


def _network(run: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("Bridged", "BridgeName", "BridgeIPAddress", "TapName", "IPAddress", "IPv6Address", "NetMask", "Gateway")
    found = {name: run[name] for name in kept if name in run}
    if "Nics" in run:
        if not isinstance(run["Nics"], list):
            raise _bad("RunConfig.Nics", run["Nics"], "a list of objects")
        found["Nics"] = [_section("RunConfig.Nics", nic) for nic in run["Nics"]]
    return found


def _get(fields: Mapping[str, Any], name: str, reader: Callable[[str, Any], T], prefix: str = "") -> T:
    """The field read by `reader`, which also gives the value for one that is not there."""
    return reader(prefix + name, fields.get(name))


def _bad(name: str, value: Any, wanted: str, mend: str = "") -> ConfigError:
    shown = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}
    message = f"{name} must be {wanted}, not {shown.get(type(value), 'null')}. {mend}".strip()
    return ConfigError("bad_value", message, field=name, mend=mend)


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        quoted = f'Put quotes around it: "{value}"' if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else ""
        raise _bad(name, value, "a text in quotes", quoted)
    if "\0" in value:
        raise ConfigError("bad_value", f"{name} holds a NUL byte.", field=name, mend="Remove it.")
    return value


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _bad(name, value, "a list of texts", f'Write ["{value}"]' if isinstance(value, str | int) else "")
    return tuple(_text(f"{name}[{number}]", item) for number, item in enumerate(value))


def _variables(name: str, value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _bad(name, value, 'an object of names and texts: {"NAME": "value"}')
    for variable in value:
        if not variable or "=" in variable or "\0" in variable or variable.startswith("-"):
            raise ConfigError("bad_value", f"{variable!r} can't be the name of an environment variable.", field=name, mend="Rename it.")
    return {variable: _text(f"{name}.{variable}", content) for variable, content in value.items()}


def _path(name: str, value: Any) -> str:
    text = _text(name, value)
    try:
        return member_path(text)
    except ImagingError as error:
        mend = "Name files as they are in the upload, relative to its root."
        raise ConfigError("bad_path", f"{name}: {error.message}", field=name, mend=mend) from error


def _paths(name: str, value: Any) -> tuple[str, ...]:
    return tuple(_path(f"{name}[{number}]", item) for number, item in enumerate(_texts(name, value)))


def _mapping(name: str, value: Any) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise _bad(name, value, 'an object of patterns and directories: {"static/*": "/www"}')
    for pattern, target in value.items():
        _path(f"{name}.{pattern}", pattern)
        _path(f"{name}.{pattern}", _text(name, target).lstrip("/"))  # a directory of the guest
    return tuple(value.items())


def _addresses(name: str, value: Any) -> tuple[str, ...]:
    texts = _texts(name, value)
    for number, text in enumerate(texts):
        try:
            ip_address(text)
        except ValueError as error:
            where = f"{name}[{number}]"
            raise ConfigError(
                "bad_value", f"{where} is no IP address: {text!r}.", field=where, mend='Write one like "10.0.2.3".'
            ) from error
    return texts


def _flag(name: str, value: Any) -> bool:
    if value is not None and not isinstance(value, bool):
        raise _bad(name, value, "true or false", "Write true or false without quotes.")
    return bool(value)


def _count(name: str, value: Any) -> int:
    if value is None:
        return 0
    wanted = f"a whole number from 1 to {MAX_VCPUS}"
    if not isinstance(value, int) or isinstance(value, bool):
        raise _bad(name, value, wanted, "Write it without quotes." if isinstance(value, str) else "")
    if not 0 <= value <= MAX_VCPUS:  # OPS reads 0 as nothing said
        raise ConfigError("bad_value", f"{name} must be {wanted}, not {value}.", field=name, mend="Write a number in that range.")
    return value


def _memory(name: str, value: Any) -> int:
    """MiB of OPS's "512m", "2G"; 0 when nothing is said."""
    text = _text(name, value)
    if not text:
        return 0
    match = _MEMORY.fullmatch(text.strip())
    kib = int(match[1]) * _KIB[match[2].lower()] if match else 0
    if not 1024 <= kib <= MAX_MEMORY_MIB * 1024:
        raise ConfigError("bad_value", f"{name} {text!r} is no size.", field=name, mend='Write one like "512m" or "2G".')
    return kib // 1024
