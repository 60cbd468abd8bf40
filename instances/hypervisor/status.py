"""What a guest's init says on the status port: a pure, strict and bounded reader, for the drivers. Guests are hostile.

One line each, ASCII, ending with the guest's uptime in milliseconds: `init 412`, `program 655`, `port tcp 8080 1210`, `exit 3 5120`,
`signal 11 5120`, `reboot 5130`, `poweroff 5131`. Whatever does not match is ignored.
"""

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

KEPT = 65536  # bytes read from each end of the log
MAX_PORTS = 64

_LINE = re.compile(
    rb"(?P<word>init|program|reboot|poweroff|port (?P<protocol>tcp|udp) (?P<port>\d{1,5})"
    rb"|exit (?P<code>\d{1,3})|signal (?P<signal>\d{1,2})) (?P<ms>\d{1,11})"
)


@dataclass(frozen=True)
class Said:
    """What the guest has said since it last booted; times are milliseconds of its uptime."""

    milestones: dict[str, int] = field(default_factory=dict)  # "program", "port:tcp:8080"
    last_ms: int | None = None  # of its last line
    code: int | None = None
    signal: int | None = None
    powering_off: bool = False

    @property
    def ended(self) -> bool:
        """Whether the guest announced its end."""
        return self.powering_off or self.code is not None or self.signal is not None


def parse(log: bytes) -> Said:
    """What the guest says in `log`; a line that is still being written does not count."""
    said = Said()
    for line in log.split(b"\n")[:-1]:
        match = _LINE.fullmatch(line.rstrip(b"\r"))
        if match:
            said = _hear(said, match)
    return said


def read(path: Path) -> tuple[Said, float | None]:
    """The status log's content and the time of its last line, in seconds since the epoch; nothing said: (Said(), None)."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            log = file.read(KEPT)
            if size > 2 * KEPT:
                file.seek(size - KEPT)
                log += b"?\n?"  # what is cut here is no line
            log += file.read(KEPT)
            return parse(log), os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return Said(), None


def epochs(said: Said, written: float, started: float) -> dict[str, float]:
    """Milestones in seconds since the epoch.

    The guest's clock starts some time after QEMU does and again with each reboot, so it is tied to ours by the last line: written
    `written`, said at `said.last_ms`. A guest that lies gets times between `started` and `written`.
    """
    last = said.last_ms or 0
    return {name: max(started, min(written, written - (last - ms) / 1000)) for name, ms in said.milestones.items()}


def _hear(said: Said, match: re.Match[bytes]) -> Said:
    word, ms = match["word"].split()[0], int(match["ms"])
    if word in (b"init", b"reboot"):
        return Said(last_ms=ms)
    said = replace(said, last_ms=ms)
    if word == b"program":
        return replace(said, milestones={**said.milestones, "program": ms})
    if word == b"port":
        return _hear_port(said, match, ms)
    if word == b"exit":
        return replace(said, code=int(match["code"])) if int(match["code"]) < 256 else said
    if word == b"signal":
        return replace(said, signal=int(match["signal"])) if 0 < int(match["signal"]) < 65 else said
    return replace(said, powering_off=True)


def _hear_port(said: Said, match: re.Match[bytes], ms: int) -> Said:
    name = f"port:{match['protocol'].decode()}:{int(match['port'])}"
    if not 0 < int(match["port"]) < 65536 or name in said.milestones or len(said.milestones) >= MAX_PORTS:
        return said
    return replace(said, milestones={**said.milestones, name: ms})
