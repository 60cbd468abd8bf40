"""`opsweb instance logs|console|wait`: look at what an instance does."""

import sys
import time

from opsweb.cli import creating, terminal
from opsweb.cli.client import Json, Panel
from opsweb.cli.console import Window, read_window
from opsweb.cli.following import Follower
from opsweb.cli.problems import Refused, TimedOut, Usage
from opsweb.cli.session import Session

LONG_POLL_SECONDS = 10
UP = ("running", "paused", "unknown")


def logs(session: Session) -> None:
    """The console's output so far, or with -w also what comes until the instance ends."""
    args, panel, screen = session.args, session.panel, session.screen
    if args.watch and screen.as_json:
        raise Usage("-w goes on as long as the instance does; --json is one document. Take one of the two.")
    instance = panel.find("instances", args.instance)
    if args.watch:
        Follower(panel, screen, instance, offset=args.start).follow(typed=False, interrupted=_leave)
        return
    windows = _windows(panel, instance, args.start)
    if screen.as_json:
        screen.result(_document(windows), "")
        return
    for window in windows:
        sys.stdout.buffer.write(window.data)
    sys.stdout.buffer.flush()


def console(session: Session) -> None:
    """The terminal on the guest's console."""
    if session.screen.as_json:
        raise Usage("A console is no JSON document; `opsweb instance logs --json` is.")
    terminal.attach(session.panel, session.panel.find("instances", session.args.instance))


def wait(session: Session) -> None:
    """Until the instance is in a state, or a port of the guest listens."""
    args, panel = session.args, session.panel
    what = f"port:{args.port}" if args.port else args.state
    found = panel.find("instances", args.instance)
    if args.port:
        _check_forwarded(found, args.port)
    instance = _waited(panel, found, what, args.timeout)
    session.screen.result(instance, creating.summary(instance))


def _check_forwarded(instance: Json, port: int) -> None:
    """The guest reports on the TCP ports that are forwarded; of another one no word will ever come. Raises: Refused."""
    forwarded = [item["guest_port"] for item in instance.get("ports") or [] if item["protocol"] == "tcp"]
    if port not in forwarded:
        there_are = f"only {', '.join(map(str, forwarded))}" if forwarded else "none at all"
        raise Refused(f"No TCP port {port} of {instance['name']} is forwarded, {there_are}.", code="not_forwarded")


def _waited(panel: Panel, instance: Json, what: str, seconds: int) -> Json:
    path, deadline = f"instances/{instance['id']}/", time.monotonic() + seconds
    while True:
        hold = max(1, min(LONG_POLL_SECONDS, int(deadline - time.monotonic())))
        seen = panel.patient(lambda hold=hold: panel.get(path, held=hold, wait_for=what, timeout=hold))  # type: ignore[misc]
        if seen["waited_for"]:
            return seen
        if _never(seen, what):
            raise Refused(f"{seen['name']} is not running, so {what} will not come: {seen['label']}.", code="not_running")
        if time.monotonic() >= deadline:
            raise TimedOut(f"{seen['name']} was not {what} within {seconds} s: {seen['label']}.")


def _never(instance: Json, what: str) -> bool:
    return what != "ended" and instance["state"] not in UP and instance["desired"] not in UP and not instance.get("operation")


def _windows(panel: Panel, instance: Json, start: int | None) -> list[Window]:
    windows = [read_window(panel, str(instance["id"]), start)]
    # What the guest prints while we read is left to -w: a flood must not keep us.
    while windows[-1].data and (end := windows[-1].start + len(windows[-1].data)) < windows[0].kept_to:
        windows.append(read_window(panel, str(instance["id"]), end))
    return windows


def _document(windows: list[Window]) -> Json:
    data = b"".join(window.data for window in windows)
    first, last = windows[0], windows[-1]
    # fmt: off
    return {"start": first.kept_from, "end": last.kept_to, "from": first.start, "next": last.start + len(last.data),
            "text": data.decode("utf-8", "replace")}
    # fmt: on


def _leave() -> None:
    raise KeyboardInterrupt
