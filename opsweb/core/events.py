"""The only sender to browsers. An event names the thing that changed, never its content; a lost one costs nothing."""

import logging
from functools import partial

from channels.layers import get_channel_layer
from django.db import transaction
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

EVERYTHING = "everything"  # the group of superusers


def team_group(team_id: int) -> str:
    """The group that members of a team listen to."""
    return f"team.{team_id}"


def changed(kind: str, target_id: object, team_id: int) -> None:
    """Tell every open browser that may see it, once this transaction is committed."""
    transaction.on_commit(partial(_send, f"{kind}:{target_id}", team_id), robust=True)


def _send(what: str, team_id: int) -> None:
    try:
        get_channel_layer().tell(_listeners(team_id), _message(what))
    except (RedisError, OSError) as error:
        _lost(what, error)


async def send(what: str, team_id: int) -> None:
    """The same, at once, for callers in an event loop."""
    layer = get_channel_layer()
    try:
        for group in _listeners(team_id):
            await layer.group_send(group, _message(what))
    except (RedisError, OSError) as error:
        _lost(what, error)


def _listeners(team_id: int) -> tuple[str, str]:
    return team_group(team_id), EVERYTHING


def _message(what: str) -> dict[str, str]:
    return {"type": "opsweb.changed", "changed": what}


def _lost(what: str, error: Exception) -> None:
    """A browser refreshes everything when its socket comes back, so a lost event is not an error."""
    log.warning("event %s not sent: %s", what, error)
