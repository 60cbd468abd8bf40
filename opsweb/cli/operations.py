"""Waits for what the panel does in the background, and turns its failure into a Problem. Used by every command that changes something."""

import time

from opsweb.cli.client import Json, Panel
from opsweb.cli.problems import Refused, TimedOut

POLL_SECONDS = 20  # one long poll
WAIT_SECONDS = 180.0
DELETE_SECONDS = 60.0
ACTIVE = ("queued", "running")


def finish(panel: Panel, answer: Json | None, *, seconds: float = WAIT_SECONDS) -> Json:
    """Wait for the operation in `answer`, which is one or holds one; returns it as it ended, {} if there is none.

    Raises: Refused with the operation's own code and sentence if it failed; TimedOut, and the panel goes on with it.
    """
    operation = (answer or {}).get("operation", answer) or {}
    deadline = time.monotonic() + seconds
    while operation and operation["status"] in ACTIVE:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimedOut(f"{_what(operation)} is not done after {seconds:.0f} s; the panel goes on with it.")
        operation = _poll(panel, str(operation["id"]), min(POLL_SECONDS, max(1, int(left))))
    if operation and operation["status"] != "succeeded":
        raise Refused(_reason(operation), code=operation.get("error_code") or str(operation["status"]))
    return operation


def _poll(panel: Panel, identifier: str, wait: int) -> Json:
    return panel.patient(lambda: panel.get(f"operations/{identifier}/", held=wait, wait=wait))


def _reason(operation: Json) -> str:
    ways = {"superseded": "was overtaken by a later request", "lost": "was lost; the panel looks again by itself"}
    return operation.get("error_message") or f"{_what(operation)} {ways.get(operation['status'], operation['status'])}."


def _what(operation: Json) -> str:
    return f"{operation.get('verb', '')} {operation.get('target_label', '')}".strip()
