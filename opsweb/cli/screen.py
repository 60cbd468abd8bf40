"""What a person or a program sees: results on stdout, everything else on stderr; with --json stdout gets exactly one document."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opsweb.cli.problems import Problem

# Names, messages and values may come from a guest: no control character of theirs reaches the terminal.
_HARMLESS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (0x09, 0x0A)}


def harmless(text: object) -> str:
    """`text` with its control characters shown instead of obeyed (SEC-A6)."""
    return str(text).translate(_HARMLESS)


def noted(note: Mapping[str, Any]) -> str:
    """A note of the panel as a line; some are about no field of the config."""
    return f"note: {note['field']}: {note['note']}" if note["field"] else f"note: {note['note']}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns as wide as their widest cell."""
    cells = [list(head), *([harmless(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)


class Screen:
    """Where a command writes. `as_json`: the result is one JSON document."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._said: set[str] = set()

    def say(self, text: str) -> None:
        """A sentence for people, on stderr."""
        print(harmless(text), file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """As `say`, but the same sentence only once: config check, image and instance answer with the same notes."""
        if text not in self._said:
            self._said.add(text)
            self.say(text)

    def notes(self, notes: Iterable[Mapping[str, Any]]) -> None:
        """Notes of the panel about fields of a config."""
        for note in notes:
            self.note(noted(note))

    def result(self, value: Any, text: str) -> None:
        """The outcome of the command: `value` as JSON, or `text`."""
        print(json.dumps(value, ensure_ascii=False, indent=2) if self.as_json else harmless(text), flush=True)

    def items(self, items: Sequence[Mapping[str, Any]], text: str) -> None:
        """A whole list, in the panel's own shape."""
        self.result({"items": items, "count": len(items)}, text)

    def problem(self, problem: Problem) -> None:
        """Code and sentence on stderr, one line for each field; with --json the panel's error object on stdout too."""
        self.say(f"opsweb: {problem.message} ({problem.code})")
        for name, value in problem.fields.items():
            told = "; ".join(str(item) for item in (value if isinstance(value, list) else [value]))
            if told not in problem.message:
                self.say(f"  {name}: {told}")
        if self.as_json:
            self.result(problem.as_json(), "")
