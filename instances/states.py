"""What an instance can be and be wanted to be, and every table about it: steps, verbs, labels, tones. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class Desired(StrEnum):
    """What people want."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    ABSENT = "absent"


class Observed(StrEnum):
    """What the last look found."""

    UNKNOWN = "unknown"
    ABSENT = "absent"
    STOPPED = "stopped"
    RUNNING = "running"
    PAUSED = "paused"
    CRASHED = "crashed"


class Step(StrEnum):
    """One thing the reconciler can do to bring a VM nearer to the wish."""

    START = "start"
    START_PAUSED = "start paused"
    PAUSE = "pause"
    RESUME = "resume"
    POWERDOWN = "power down"
    WAIT = "wait"
    KILL = "kill"
    RESET = "reset"
    ERASE = "erase"


@dataclass(frozen=True)
class Wish:
    """The parts of a row that decide the next step.

    `reboot`: a boot newer than the last one is wanted. `force`: do not ask the guest. `asked`: the guest was asked to end, and its
    time is not over; `overdue`: it is. `held`: the restart policy lets some time pass before the next start.
    """

    desired: Desired
    reboot: bool = False
    force: bool = False
    asked: bool = False
    overdue: bool = False
    held: bool = False


_UP = (Observed.RUNNING, Observed.PAUSED)


def next_step(wish: Wish, observed: Observed) -> Step | None:
    """The one step from `observed` towards the wish; None when there is nothing to do. Walking it always ends (tested cell by cell)."""
    if observed is Observed.UNKNOWN:
        return None
    if wish.desired is Desired.ABSENT:
        return None if observed is Observed.ABSENT else Step.ERASE
    if wish.desired is Desired.STOPPED:
        return _end(wish, observed) if observed in _UP else None
    if observed not in _UP:
        if wish.held:
            return Step.WAIT
        return Step.START if wish.desired is Desired.RUNNING else Step.START_PAUSED
    if wish.reboot:
        return Step.RESET if wish.force else _end(wish, observed)
    if wish.desired is Desired.PAUSED:
        return Step.PAUSE if observed is Observed.RUNNING else None
    return Step.RESUME if observed is Observed.PAUSED else None


def _end(wish: Wish, observed: Observed) -> Step:
    if wish.force or wish.overdue:
        return Step.KILL
    if observed is Observed.PAUSED:
        return Step.RESUME  # a frozen guest can't hear the power button
    return Step.WAIT if wish.asked else Step.POWERDOWN


class Verb(StrEnum):
    """What a person may ask of an instance."""

    START = "start"
    STOP = "stop"
    FORCE_OFF = "force-off"
    PAUSE = "pause"
    RESUME = "resume"
    REBOOT = "reboot"
    RESET = "reset"
    DELETE = "delete"


@dataclass(frozen=True)
class VerbFacts:
    """What a verb wants, when it is allowed, and how it is called on a button."""

    desired: Desired | None  # None: as it is
    allowed: frozenset[Observed]
    label: str
    doing: str  # the transition's text
    force: bool = False
    reboot: bool = False
    destroys: str = ""  # what is asked before it is done


_DOWN = frozenset({Observed.ABSENT, Observed.STOPPED, Observed.CRASHED})
_ANY = frozenset(Observed)
_RUNNING, _PAUSED = frozenset({Observed.RUNNING}), frozenset({Observed.PAUSED})

VERBS: dict[Verb, VerbFacts] = {
    Verb.START: VerbFacts(Desired.RUNNING, _DOWN, "Start", "Starting…"),
    Verb.STOP: VerbFacts(Desired.STOPPED, _RUNNING | _PAUSED, "Stop", "Stopping…"),
    Verb.FORCE_OFF: VerbFacts(
        Desired.STOPPED, _RUNNING | _PAUSED, "Force off", "Forcing off…", force=True, destroys="The guest gets no chance to save anything."
    ),
    Verb.PAUSE: VerbFacts(Desired.PAUSED, _RUNNING, "Pause", "Pausing…"),
    Verb.RESUME: VerbFacts(Desired.RUNNING, _PAUSED, "Resume", "Resuming…"),
    Verb.REBOOT: VerbFacts(Desired.RUNNING, _RUNNING, "Restart", "Restarting…", reboot=True),
    Verb.RESET: VerbFacts(
        Desired.RUNNING, _RUNNING, "Reset", "Resetting…", force=True, reboot=True, destroys="The guest gets no chance to save anything."
    ),
    Verb.DELETE: VerbFacts(
        Desired.ABSENT, _ANY, "Delete", "Deleting…", force=True, destroys="The instance, its console log and its addresses go."
    ),
}

BOOT_VERBS = (Verb.START, Verb.REBOOT, Verb.RESET)  # a boot comes of these

LABELS: dict[Observed, tuple[str, str]] = {  # state → (label, tone)
    Observed.UNKNOWN: ("Not seen yet", "stop"),
    Observed.ABSENT: ("Stopped", "stop"),
    Observed.STOPPED: ("Stopped", "stop"),
    Observed.RUNNING: ("Running", "run"),
    Observed.PAUSED: ("Paused", "wait"),
    Observed.CRASHED: ("Crashed", "bad"),
}


def refusal(verb: Verb, observed: Observed, desired: Desired) -> str:
    """Why `verb` makes no sense now; "" when it does."""
    facts = VERBS[verb]
    if observed in facts.allowed:
        return ""
    if facts.desired is Desired.STOPPED and desired in (Desired.RUNNING, Desired.PAUSED):
        return ""  # it is about to start, or to start again: that can be called off
    now = LABELS[observed][0].lower()
    fitting = " or ".join(sorted({LABELS[state][0].lower() for state in facts.allowed}))
    return f"{facts.label} needs an instance that is {fitting}; this one is {now}."
