"""Redis for code without an event loop: one client for each process. Those with a loop take `instances.redis_client`."""

from functools import cache

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from opsweb.environment import env

SECONDS = 2  # for connecting, and for an answer


def redis() -> Redis:
    """With connections that are kept, and tried anew once: redis may have been restarted. A forked process opens its own."""
    return _client(env.redis)


@cache
def _client(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS, retry=Retry(NoBackoff(), 1))
