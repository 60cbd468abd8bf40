"""Whether every part of the panel is at work: /healthz for supervisors, `make up` and people."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from redis import RedisError

from opsweb.core.models import Host
from opsweb.core.redis_client import redis
from opsweb.environment import env

SILENT_AFTER = timedelta(seconds=max(45, 3 * env.sweep_seconds))


def parts(since: float = 0) -> dict[str, str]:
    """Each part → "" when it is ready, else the sentence why not. A heartbeat from before `since` (epoch seconds) is none."""
    return {name: _ask(check, since) for name, check in CHECKS.items()}


def _ask(check: Callable[[float], str], since: float) -> str:
    try:
        return check(since)
    except (DatabaseError, RedisError, OSError) as error:
        return f"{type(error).__name__}: {error}"


def _database(since: float) -> str:
    connection.ensure_connection()
    return ""


def _redis(since: float) -> str:
    redis().ping()
    return ""


def _seen(column: str, since: float) -> str:
    host = Host.objects.filter(name=env.host).first()
    at = getattr(host, column, None)
    if at is None or at.timestamp() < since:
        return "has not come up yet"
    silent = timezone.now() - at
    return f"silent for {silent.seconds} s" if silent > SILENT_AFTER else ""


CHECKS: dict[str, Callable[[float], str]] = {
    "database": _database,
    "redis": _redis,
    "worker": lambda since: _seen("worker_seen_at", since),
    "watcher": lambda since: _seen("watcher_seen_at", since),
}


@login_not_required
def healthz(request: HttpRequest) -> JsonResponse:
    """200 when all is ready, 503 else; says which part is not. Heartbeats from before `?since=` (epoch seconds) count for nothing."""
    since = request.GET.get("since", "")
    state = parts(float(since) if since.isdecimal() else 0)
    ready = not any(state.values())
    body: dict[str, Any] = {"ready": ready, "parts": {name: why or "ready" for name, why in state.items()}}
    return JsonResponse(body, status=200 if ready else 503)
