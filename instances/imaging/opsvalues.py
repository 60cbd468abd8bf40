"""Readers of OPS's config.json, one for each kind of value: each takes a field's name and what stands there. Pure; called by `opsconfig`
and `opsnetwork`. They raise ConfigError with the mend, and give the empty value of their kind for null.
"""

import re
from ipaddress import ip_address
from typing import Any, Final

from instances.imaging import opsfields
from instances.imaging.base import ImagingError
from instances.imaging.opsjson import ConfigError
from instances.imaging.paths import member_path

MAX_VCPUS: Final = 256
MAX_MEMORY_MIB: Final = 1024 * 1024

_MEMORY = re.compile(r"(\d{1,12})\s*([kKmMgGtT]?)[bB]?")
_KIB = {"k": 1, "": 1024, "m": 1024, "g": 1024**2, "t": 1024**3}  # a bare number is MiB, as for QEMU


def section(name: str, value: Any) -> dict[str, Any]:
    """The fields in OPS's own spelling; null counts as not there. Raises: ConfigError for an unknown field or one given twice."""
    if not isinstance(value, dict):
        raise bad(name or "the config", value, "an object in braces { }")
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


def bad(name: str, value: Any, wanted: str, mend: str = "") -> ConfigError:
    """The error for a value of another kind than `wanted`."""
    shown = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}
    message = f"{name} must be {wanted}, not {shown.get(type(value), 'null')}. {mend}".strip()
    return ConfigError("bad_value", message, field=name, mend=mend)


def as_text(name: str, value: Any) -> str:
    """A text without NUL."""
    if value is None:
        return ""
    if not isinstance(value, str):
        quoted = f'Put quotes around it: "{value}"' if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else ""
        raise bad(name, value, "a text in quotes", quoted)
    if "\0" in value:
        raise ConfigError("bad_value", f"{name} holds a NUL byte.", field=name, mend="Remove it.")
    return value


def as_texts(name: str, value: Any) -> tuple[str, ...]:
    """A list of texts."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise bad(name, value, "a list of texts", f'Write ["{value}"]' if isinstance(value, str | int) else "")
    return tuple(as_text(f"{name}[{number}]", item) for number, item in enumerate(value))


def as_variables(name: str, value: Any) -> dict[str, str]:
    """Names and values of environment variables."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad(name, value, 'an object of names and texts: {"NAME": "value"}')
    for variable in value:
        if not variable or "=" in variable or "\0" in variable or variable.startswith("-"):
            raise ConfigError("bad_value", f"{variable!r} can't be the name of an environment variable.", field=name, mend="Rename it.")
    return {variable: as_text(f"{name}.{variable}", content) for variable, content in value.items()}


def as_path(name: str, value: Any) -> str:
    """A path inside the upload (SEC-C2)."""
    text = as_text(name, value)
    try:
        return member_path(text)
    except ImagingError as error:
        mend = "Name files as they are in the upload, relative to its root."
        raise ConfigError("bad_path", f"{name}: {error.message}", field=name, mend=mend) from error


def as_paths(name: str, value: Any) -> tuple[str, ...]:
    """Several of them."""
    return tuple(as_path(f"{name}[{number}]", item) for number, item in enumerate(as_texts(name, value)))


def as_mapping(name: str, value: Any) -> tuple[tuple[str, str], ...]:
    """Patterns of files, and the directory of the guest for each."""
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise bad(name, value, 'an object of patterns and directories: {"static/*": "/www"}')
    for pattern, target in value.items():
        as_path(f"{name}.{pattern}", pattern)
        as_path(f"{name}.{pattern}", as_text(name, target).lstrip("/"))  # a directory of the guest
    return tuple(value.items())


def as_addresses(name: str, value: Any) -> tuple[str, ...]:
    """A list of IP addresses."""
    texts = as_texts(name, value)
    for number, text in enumerate(texts):
        try:
            ip_address(text)
        except ValueError as error:
            where = f"{name}[{number}]"
            raise ConfigError(
                "bad_value", f"{where} is no IP address: {text!r}.", field=where, mend='Write one like "10.0.2.3".'
            ) from error
    return texts


def as_flag(name: str, value: Any) -> bool:
    """True or false."""
    if value is not None and not isinstance(value, bool):
        raise bad(name, value, "true or false", "Write true or false without quotes.")
    return bool(value)


def as_count(name: str, value: Any) -> int:
    """A number of vCPUs; 0 when nothing is said."""
    if value is None:
        return 0
    wanted = f"a whole number from 1 to {MAX_VCPUS}"
    if not isinstance(value, int) or isinstance(value, bool):
        raise bad(name, value, wanted, "Write it without quotes." if isinstance(value, str) else "")
    if not 0 <= value <= MAX_VCPUS:  # OPS reads 0 as nothing said
        raise ConfigError("bad_value", f"{name} must be {wanted}, not {value}.", field=name, mend="Write a number in that range.")
    return value


def as_memory(name: str, value: Any) -> int:
    """MiB of OPS's "512m", "2G"; 0 when nothing is said."""
    text = as_text(name, value)
    if not text:
        return 0
    match = _MEMORY.fullmatch(text.strip())
    kib = int(match[1]) * _KIB[match[2].lower()] if match else 0
    if not 1024 <= kib <= MAX_MEMORY_MIB * 1024:
        raise ConfigError("bad_value", f"{name} {text!r} is no size.", field=name, mend='Write one like "512m" or "2G".')
    return kib // 1024
