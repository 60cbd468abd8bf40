"""What a command left behind when a test called it, and what the tests call it with."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLONE = Path(__file__).resolve().parents[3]
ELF = b"\x7fELF" + bytes(range(200))


@dataclass
class Done:
    """What a command left behind."""

    code: int
    out: bytes
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)
