"""Tells the watcher that a VM has new sockets. A lost message costs it a few seconds, no more."""

import json
import logging

from redis import RedisError

from instances.console import watcher_channel
from instances.models import Instance
from opsweb.core.redis_client import redis

log = logging.getLogger(__name__)


def tell_watcher(instance: Instance) -> None:
    """A new boot of `instance` runs."""
    message = json.dumps({"type": "look", "instance": str(instance.pk)})
    try:
        redis().publish(watcher_channel(instance.host.name), message)
    except (RedisError, OSError) as error:
        log.warning("the watcher was not told of %s: %s", instance.pk, error)
