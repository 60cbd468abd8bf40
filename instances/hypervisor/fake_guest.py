"""What a fake VM does as time passes: pure, for `fake`. Nothing runs; its state at a moment is computed when somebody looks.

A program's arguments (or the kernel's command line) may ask for an end: --exit-after=SECONDS, --exit-code=N, --exit-signal=N,
--crash-after=SECONDS, --ignore-powerdown.
"""

import re
from dataclasses import dataclass, field, replace

from .base import SPARE_PORTS, DriverError, Exit, ExitReason, Machine, Power, TapNic, UserNic
from .ports import KEPT, need_port

INIT, PROGRAM, PORTS = 0.1, 0.2, 0.3  # seconds of uptime
GRACE = 0.2  # from the power button to power off

_OPTION = re.compile(rb"--(exit-after|exit-code|exit-signal|crash-after|ignore-powerdown)(?:=(\d{1,4}(?:\.\d{1,3})?))?")
_WATCHED = re.compile(rb"^ports='([^'\n]*)'$", re.MULTILINE)
_PORT = re.compile(rb"(tcp|udp):[0-9A-F]{4}:(\d{1,5})")


@dataclass(frozen=True)
class Guest:
    """One boot of a fake VM; written to disk as it is."""

    boot: str
    name: str
    pid: int | None
    started_at: float
    greeted_at: float
    options: dict[str, float]
    ports: list[str]  # "tcp:8080"
    power: Power = Power.RUNNING
    ran: float = 0.0  # seconds of uptime before `since`
    since: float = 0.0  # when its clock last began to run, seconds since the epoch
    printed: int = 0  # how many of its lines
    typed: int = 0  # how many bytes of what people typed it has echoed
    asked_at: float | None = None  # uptime
    milestones: dict[str, float] = field(default_factory=dict)
    macs: list[str] = field(default_factory=list)  # of the NIC on each port, "" of a free one
    leaving: list[int] = field(default_factory=list)  # ports whose NIC it was asked for while it was paused
    exit: Exit | None = None

    @property
    def live(self) -> bool:
        """Whether it runs or is paused."""
        return self.power in (Power.RUNNING, Power.PAUSED)

    def uptime(self, now: float) -> float:
        """Seconds that its clock has run."""
        return self.ran + (now - self.since if self.power is Power.RUNNING else 0.0)


def booted(machine: Machine, boot: str, pid: int, now: float) -> Guest:
    """The machine's guest as it begins."""
    power = Power.PAUSED if machine.paused else Power.RUNNING
    macs = [nic.mac.lower() for nic in machine.nics] + [""] * SPARE_PORTS
    return Guest(boot, machine.name, pid, now, now, _options(machine), _ports(machine), power, since=now, macs=macs)


def advance(guest: Guest, now: float, typed: bytes = b"") -> tuple[Guest, bytes]:
    """The guest at `now`, and what it has printed on its console meanwhile; `typed` is what came in meanwhile."""
    if guest.power is not Power.RUNNING:
        return guest, b""
    end = _end(guest)
    uptime = min(guest.uptime(now), end[0]) if end else guest.uptime(now)
    due = [line for line in _script(guest) if line[0] <= uptime]
    output = b"".join(text for _, text, _ in due[guest.printed :])
    reached = {name: now - (guest.uptime(now) - at) for at, _, name in due[guest.printed :] if name}
    guest = replace(guest, printed=len(due), milestones={**guest.milestones, **reached})
    if uptime >= PROGRAM:
        guest, output = replace(guest, typed=guest.typed + len(typed)), output + typed.replace(b"\r", b"\r\n")
    if end and uptime >= end[0]:
        return replace(guest, power=end[1], ran=uptime, exit=end[2]), output + _last_line(uptime, end[2])
    return guest, output


def frozen(guest: Guest, now: float) -> Guest:
    """The guest, paused from `now` if it was running."""
    return replace(guest, power=Power.PAUSED, ran=guest.uptime(now)) if guest.power is Power.RUNNING else guest


def thawed(guest: Guest, now: float) -> Guest:
    """The guest, going on from `now` if it was paused."""
    return replace(_released(guest), power=Power.RUNNING, since=now) if guest.power is Power.PAUSED else guest


def pressed(guest: Guest, now: float) -> Guest:
    """The guest whose power button was pressed at `now`. Raises: DriverError("not_running") when paused."""
    if guest.power is Power.PAUSED:
        raise DriverError("not_running", "A paused VM cannot be asked to shut down; resume it first.")
    return replace(guest, asked_at=guest.uptime(now)) if guest.live and guest.asked_at is None else guest


def given(guest: Guest, number: int, nic: TapNic) -> Guest:
    """The guest with a NIC on that port. Raises: DriverError("no_port")."""
    if not need_port(dict(enumerate(guest.macs)), number, nic):
        return guest
    return replace(guest, macs=[nic.mac.lower() if place == number else mac for place, mac in enumerate(guest.macs)])


def asked_for(guest: Guest, number: int) -> Guest:
    """The guest that was asked to let go of the NIC on that port: at once, when it is paused later."""
    asked = replace(guest, leaving=sorted({*guest.leaving, number}))
    return asked if guest.power is Power.PAUSED else _released(asked)


def need_released(guest: Guest, number: int) -> None:
    """Raises: DriverError("timeout") while it keeps the NIC that it was asked for."""
    if number in guest.leaving and guest.macs[number : number + 1] not in ([], [""]):
        raise DriverError("timeout", KEPT)


def _released(guest: Guest) -> Guest:
    return replace(guest, leaving=[], macs=["" if place in guest.leaving else mac for place, mac in enumerate(guest.macs)])


def rebooted(guest: Guest, now: float) -> Guest:
    """The guest after a hard reset at `now`."""
    return replace(guest, ran=0.0, since=now, printed=0, milestones={}, asked_at=None)


def ended(guest: Guest, now: float, power: Power, facts: Exit) -> Guest:
    """The guest whose process was ended at `now`; one that had ended by itself keeps how."""
    return replace(guest, power=power, ran=guest.uptime(now), exit=facts, pid=None) if guest.live else replace(guest, pid=None)


def _ports(machine: Machine) -> list[str]:
    """What its program listens on: ports that user-mode forwards lead to, and those that its init is told to watch."""
    forwarded = {f"{forward.protocol}:{forward.guest_port}" for nic in machine.nics if isinstance(nic, UserNic) for forward in nic.forwards}
    watched = _WATCHED.findall(_text(machine))
    return sorted(forwarded | {f"{protocol.decode()}:{port.decode()}" for words in watched for protocol, port in _PORT.findall(words)})


def _text(machine: Machine) -> bytes:
    return b"\n".join((machine.cmdline.encode(), *(part for part in machine.initrd if isinstance(part, bytes))))


def _options(machine: Machine) -> dict[str, float]:
    """What the machine's program was told to do, wherever in its instance archive the arguments are."""
    return {match[1].decode(): float(match[2] or 0) for match in _OPTION.finditer(_text(machine))}


def _script(guest: Guest) -> list[tuple[float, bytes, str]]:
    """Uptime, console text and milestone of each line of its boot."""
    lines = [
        (0.0, "Linux version 6.1.0-fake (a fake host: nothing runs here)", ""),
        (INIT, "Run /init as init process", ""),
        (PROGRAM, f"opsweb: starting the program\r\nHello from {guest.name}.", "program"),
        *((PORTS, f"Listening on {port.replace(':', ' port ')}.", f"port:{port}") for port in guest.ports),
    ]
    return [(at, _line(at, text), name) for at, text, name in lines]


def _end(guest: Guest) -> tuple[float, Power, Exit] | None:
    """When and how it ends, as far as that is known."""
    wants = guest.options
    ends: list[tuple[float, Power, Exit]] = []
    if {"exit-after", "exit-code", "exit-signal"} & wants.keys():
        number = int(wants["exit-signal"]) if "exit-signal" in wants else None
        code = int(wants.get("exit-code", 0)) if number is None else None
        ends.append((PORTS + wants.get("exit-after", 0), Power.STOPPED, Exit(ExitReason.GUEST, code, number)))
    if "crash-after" in wants:
        crash = Exit(ExitReason.CRASH, message="The fake QEMU crashed, as it was told to.")
        ends.append((PORTS + wants["crash-after"], Power.CRASHED, crash))
    if guest.asked_at is not None and "ignore-powerdown" not in wants:
        ends.append((guest.asked_at + GRACE, Power.STOPPED, Exit(ExitReason.REQUEST)))
    return min(ends, key=lambda end: end[0]) if ends else None


def _last_line(uptime: float, facts: Exit) -> bytes:
    if facts.reason is ExitReason.CRASH:
        return b""
    how = f"The program ended with code {facts.code}.\r\n" if facts.code is not None else ""
    return _line(uptime, f"{how}reboot: Power down")


def _line(at: float, text: str) -> bytes:
    return f"[{at:12.6f}] {text}\r\n".encode()
