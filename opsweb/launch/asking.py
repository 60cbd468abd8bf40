"""The commands that ask and change no process: status, logs, admin-password. Called by `python3 -m opsweb.launch`."""

import os
import sys
from collections.abc import Mapping

from opsweb.launch import health, manage, supervisor
from opsweb.launch.errors import LaunchError
from opsweb.launch.panel import Panel
from opsweb.launch.running import last_placed, launch_of, need_state
from opsweb.launch.say import say


def status(panel: Panel, environ: Mapping[str, str]) -> int:
    """Print a line for each part, then what the panel says of itself. 0 when everything is ready, 3 when not (as systemctl does)."""
    found = supervisor.running(panel)
    if found is None:
        say(f"not running (state {panel.state}, run {panel.run})")
        return 3
    for part in found:
        shown = f"pid {part.pid:<8} up {_span(part.seconds)}" if part.state == "RUNNING" else part.message
        say(f"{part.name:<9} {part.state:<9} {shown}")
    answer = health.ask(panel)
    late = health.waiting_for(answer)
    for line in late:
        say(f"not ready: {line}")
    for name, value in (answer or {}).items():
        if name not in ("parts", "ready"):
            say(f"{name:<9} {value if not isinstance(value, dict) else ', '.join(f'{n} {k}' for k, n in value.items())}")
    say(f"{'address':<9} {panel.url}\n{'logs':<9} {panel.log}")
    return 3 if late or any(part.state != "RUNNING" for part in found) else 0


def logs(panel: Panel, environ: Mapping[str, str]) -> int:
    """Follow every part's log until Ctrl-C; `LINES` (50) of each come first."""
    files = sorted(str(path) for path in panel.log.glob("*.log"))
    if not files:
        raise LaunchError("no_logs", f"There are no logs in {panel.log}: `make up` first.")
    lines = environ.get("LINES", "50")
    follow = ["-F"] if sys.stdout.isatty() or environ.get("FOLLOW") else []
    os.execvp("tail", ["tail", "-n", lines if lines.isdecimal() else "50", *follow, *files])  # noqa: S606


def admin_password(panel: Panel, environ: Mapping[str, str]) -> int:
    """Give the first admin a new one-time password and print it."""
    launch = launch_of(panel, environ)
    need_state(panel)
    say(manage.run(panel, last_placed(launch), launch.account, "one_time_password").strip())
    return 0


def _span(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    return f"{hours}h{rest // 60:02d}m{rest % 60:02d}s" if hours else f"{rest // 60}m{rest % 60:02d}s"
