"""Asks the panel's own `GET /healthz` and waits until every part is ready. Called by `up`, `restart` and `status`."""

import http.client
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from opsweb.launch.panel import Panel

READY = "ready"  # /healthz says this, or a sentence why not, for each part
ASK_EVERY = 0.3  # seconds; the parts come up within a few


def ask(panel: Panel, timeout: float = 5, *, since: int = 0) -> dict[str, Any] | None:
    """What /healthz says, ready or not; None while it does not answer. Heartbeats from before `since` (epoch seconds) are none."""
    connection = http.client.HTTPConnection(_address(panel.bind), panel.port, timeout=timeout)
    try:
        # Under another name the panel answers with a redirect to its own.
        connection.request("GET", f"/healthz?since={since}", headers={"Host": urlsplit(panel.url).netloc, "Accept": "application/json"})
        answer = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else None


def _address(bind: str) -> str:
    """Where to reach a server that listens everywhere."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)  # noqa: S104


def waiting_for(answer: dict[str, Any] | None) -> list[str]:
    """The parts that are not ready, each with its reason; empty when all are."""
    if answer is None:
        return ["web: does not answer yet"]
    late = [f"{name}: {word}" for name, word in answer.get("parts", {}).items() if word != READY]
    return late or ([] if answer.get("ready") else ["panel: not ready"])


def wait(panel: Panel, seconds: float, say: Callable[[str], None], *, since: int = 0) -> list[str]:
    """Ask until every part is ready or the time is over; returns what is missing then. Each change of what is missing is said."""
    deadline, said = time.monotonic() + seconds, [""]
    while late := waiting_for(ask(panel, since=since)):
        if time.monotonic() >= deadline:
            return late
        if late != said and said != [""]:
            say(f"waiting for {'; '.join(late)}")
        said = late
        time.sleep(ASK_EVERY)
    return []
