"""One look at a VM put together, for `qemu`: from QEMU's run state, the record of its start and the guest's status log."""

from . import endings, identity, launch, qmp, record, status
from .base import Exit, Observation, Power, RunPaths
from .identity import Process
from .record import Record

SILENT = "silent"  # beside QEMU's own run states
_POWER = {"paused": Power.PAUSED, "prelaunch": Power.PAUSED, "io-error": Power.PAUSED, "debug": Power.PAUSED, "watchdog": Power.PAUSED}


def state_of(paths: RunPaths, process: Process) -> str | None:
    """QEMU's run state, "silent" when it does not answer; None when the process ended meanwhile."""
    try:
        return qmp.status(paths.control)
    except qmp.MonitorGone:
        return None if identity.gone(process, 1) else SILENT
    except qmp.MonitorSilent:
        return SILENT


def going_on(paths: RunPaths, last: Record, state: str | None, process: Process | None) -> Observation:
    """Of a boot whose guest runs or is paused."""
    return _seen(paths, last, _POWER.get(str(state), Power.RUNNING), process)


def ended(paths: RunPaths, last: Record, state: str | None, process: Process | None) -> Observation:
    """Of a boot that is over; `state` as in `endings.ending`."""
    said, _ = status.read(paths.status_log)
    asked = record.marked(paths.run, last.boot, "asked") is not None
    power, how = endings.ending(state, said, asked=asked, words=launch.stderr_tail(paths.stderr_log))
    return _seen(paths, last, power, process, how)


def _seen(paths: RunPaths, last: Record, power: Power, process: Process | None, how: Exit | None = None) -> Observation:
    said, written = status.read(paths.status_log)
    milestones = status.epochs(said, written, last.started_at) if written else {}
    if last.greeted_at:
        milestones["qemu"] = last.greeted_at
    return Observation(power, process.pid if process else None, last.started_at, last.boot, how, milestones, last.limits)
