"""Hands work to a host's worker: by name, one id, once the transaction is committed. A lost message costs one sweep."""

import logging
from functools import partial
from typing import Any

from django.db import transaction
from kombu.exceptions import OperationalError

from opsweb.celery import app

log = logging.getLogger(__name__)


def enqueue(task: str, queue: str, *args: str, countdown: float | None = None) -> None:
    """Send `task` with ids only (INV-12); `countdown` in seconds."""
    transaction.on_commit(partial(_send, task, queue, args, countdown), robust=True)


def _send(task: str, queue: str, args: tuple[str, ...], countdown: float | None) -> None:
    options: dict[str, Any] = {"queue": queue, "countdown": countdown, "ignore_result": True}
    try:
        app.send_task(task, args=args, **options)
    except (OperationalError, OSError) as error:
        log.warning("%s%s not queued, the sweep will do it: %s", task, args, error)
