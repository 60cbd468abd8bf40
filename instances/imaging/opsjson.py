"""Decodes JSON and, where it is none, says where and how to mend it. Pure; called by `opsconfig`."""

import json
import re
from typing import Any, NoReturn

from instances.imaging.base import ImagingError

MAX_BYTES = 256 * 1024

_WORD = re.compile(r"[A-Za-z_.$/\\~-][^\s,:\]}{\[\"']*")
_BEFORE_VALUE = re.compile(r"[\s,\[{:]*$")


class ConfigError(ImagingError):
    """A config that can't be used: where (line and column count from 1, None where there is no text), which field, and how to mend it.

    `code` is "bad_json", "unknown_field", "bad_value", "bad_path", "too_large" or "no_program".
    """

    def __init__(
        self, code: str, message: str, *, line: int | None = None, column: int | None = None, mend: str = "", field: str = ""
    ) -> None:
        super().__init__(code, message)
        self.line = line
        self.column = column
        self.mend = mend
        self.field = field


def decode(text: str) -> Any:
    """The value. Raises: ConfigError("bad_json") with line, column and the mend; ConfigError("too_large")."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise ConfigError("too_large", f"The config is larger than {MAX_BYTES // 1024} KiB.")
    text = text.removeprefix("\ufeff")  # Windows editors begin a file with it
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError as error:
        _explain(text, error)
    except RecursionError as error:
        raise ConfigError("bad_json", "The config is nested too deeply.") from error
    except ValueError as error:  # a number of thousands of digits
        raise ConfigError("bad_json", f"The config holds a value that can't be read: {error}.") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise ConfigError("bad_json", f'"{name}" is there twice in one object.', mend=f'Keep one "{name}".', field=name)
        fields[name] = value
    return fields


def _constant(name: str) -> NoReturn:
    raise ConfigError("bad_json", f"{name} is no JSON value.", mend="Write a number.")


def _explain(text: str, error: json.JSONDecodeError) -> NoReturn:
    at, what, mend = diagnose(text, error)
    line = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    message = f"This is no valid JSON, line {line}, column {column}: {what}. {mend}"
    raise ConfigError("bad_json", message.strip(), line=line, column=column, mend=mend) from error


def diagnose(text: str, error: json.JSONDecodeError) -> tuple[int, str, str]:
    """Where the mistake is (an index into `text`), what it is, and a sentence how to mend it ("" when there is no sure one)."""
    at = error.pos
    rest = text[at:]
    if not text.strip():
        return 0, "it is empty", "Write at least {}."
    if error.msg.startswith("Extra data"):
        return at, "something follows after the end", "Remove what follows the last closing brace, or add the opening brace that it closes."
    if error.msg.startswith("Unterminated string"):
        return at, "a text is not closed", 'Put a closing " at its end.'
    if error.msg.startswith("Invalid control character"):
        return at, "a text holds a line break or another control character", r'Write a line break as \n, or close the text with ".'
    if error.msg.startswith(("Invalid \\escape", "Invalid \\u")):
        return at, "a backslash begins no escape here", r"Write a backslash twice: \\"
    if rest.startswith(("//", "/*", "#")):
        return at, "there is a comment", "Remove it: JSON knows no comments."
    if rest.startswith("'"):
        return at, "a text stands in single quotes", _requoted(rest)
    if rest.startswith(("“", "”", "„")):
        return at, "a text stands in typographic quotes", 'Use straight double quotes: "'
    if error.msg.startswith("Expecting ':'"):
        return at, "there is no colon after a field's name", "Put a : between name and value."
    return _at_value(text, at, error.msg)


def _at_value(text: str, at: int, message: str) -> tuple[int, str, str]:
    rest = text[at:]
    if rest[:1] in ("}", "]"):
        comma = len(text[:at].rstrip()) - 1
        if text[comma : comma + 1] == ",":
            return comma, "a comma has nothing after it", "Remove this comma."
        return at, "a value is missing", "Put a value here."
    if not rest.strip():
        return len(text.rstrip()), "it ends too early", "Add the closing braces and brackets that are missing."
    if message.startswith("Expecting ','"):
        return at, "something is missing before this", "Put a comma before it, or close the text or bracket before it."
    word = _WORD.match(rest)
    if word:
        plain = {"True": "true", "False": "false", "None": "null", "yes": "true", "no": "false"}.get(word[0])
        mend = f"Write {plain} instead." if plain else f'Put quotes around it: "{word[0]}"'
        return at, f"{word[0]} stands there without quotes", mend
    return at, "no value can begin like this", ""


def _requoted(rest: str) -> str:
    closing = rest.find("'", 1)
    inner = rest[1:closing] if 0 < closing <= 80 and "\n" not in rest[:closing] else ""
    return f'Use double quotes: "{inner}"' if inner else 'Use double quotes: "'
