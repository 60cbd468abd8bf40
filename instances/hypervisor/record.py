"""The record of a VM's last start (<run>/vm.json) and the marks beside it, for `qemu`: written so that every crash leaves one truth.

The record is written before QEMU is (without a pid), once QEMU is there and once it has greeted; each time in one rename.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from . import identity
from .identity import Process


@dataclass(frozen=True)
class Record:
    """What was started."""

    boot: str  # a random id of this start
    host_boot: str
    argv: list[str]
    accelerator: str
    limits: str  # the sentence of Observation.limits
    started_at: float
    process: Process | None = None
    greeted_at: float | None = None

    def born(self, process: Process) -> "Record":
        """The same once QEMU is there."""
        return replace(self, process=process)

    def greeted(self, at: float) -> "Record":
        """The same once QEMU has greeted."""
        return replace(self, greeted_at=at)


def write(run: Path, record: Record) -> None:
    """Put `record` in the place of the last one, at once or not at all."""
    _put(run / "vm.json", json.dumps(asdict(record), indent=1))


def read(run: Path) -> Record | None:
    """The record of the last start; None when there is none or it is not one of ours."""
    try:
        data = json.loads((run / "vm.json").read_text())
        process = data.pop("process")
        return Record(**data, process=Process(**process) if process else None)
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError, AttributeError):
        return None


def lost(process: Process) -> Record:
    """What can still be said of a start whose record is lost."""
    return Record(f"{process.pid:x}.{process.start:x}", identity.host_boot(), [], "", "", identity.started_at(process), process)


def mark(run: Path, boot: str, name: str, text: str = "") -> None:
    """Remember `name` of this boot ("asked": we ended it; "ended": the state its guest was left in)."""
    _put(run / f"{boot}.{name}", text)


def marked(run: Path, boot: str, name: str) -> str | None:
    """What was remembered of this boot under `name`; None when nothing was."""
    try:
        return (run / f"{boot}.{name}").read_text()
    except FileNotFoundError:
        return None


def forget_marks(run: Path) -> None:
    """Remove the marks of all boots."""
    for name in ("asked", "ended"):
        for path in run.glob(f"*.{name}"):
            path.unlink(missing_ok=True)


def _put(path: Path, text: str) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(text)
    fresh.chmod(0o600)
    fresh.replace(path)
