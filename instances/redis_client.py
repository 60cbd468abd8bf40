"""Redis for asyncio code: one client for each event loop."""

import asyncio
from weakref import WeakKeyDictionary

from redis.asyncio import Redis

from opsweb.environment import env

_clients: "WeakKeyDictionary[asyncio.AbstractEventLoop, Redis]" = WeakKeyDictionary()


def redis() -> Redis:
    """The running loop's client; replies are bytes."""
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        _clients[loop] = Redis.from_url(env.redis)
    return _clients[loop]
