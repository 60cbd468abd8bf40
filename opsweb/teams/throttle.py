"""Slows down guessing: tries are counted in redis for each address and each name. Called by the doors that are open to everybody."""

from django.http import HttpRequest
from redis import Redis, RedisError

from opsweb.environment import env

FREE_TRIES = 5
WINDOW_SECONDS = 300
LONGEST_WAIT = 60
SIGN_IN = "sign-in"


def _keys(request: HttpRequest, door: str) -> list[str]:
    """The address's, and the name's where one is given: no name at all is nobody's."""
    address, name = request.META.get("REMOTE_ADDR", ""), request.POST.get("username", "")[:150].lower()
    return [f"opsweb:{door}:address:{address}", *([f"opsweb:{door}:name:{name}"] if name else [])]


def _redis() -> Redis:
    return Redis.from_url(env.redis, socket_timeout=1)


def take_a_try(request: HttpRequest, door: str = SIGN_IN) -> int:
    """0 when the person may try now, else the seconds to wait. A try counts before its password is looked at: many at once are many.

    The first FREE_TRIES are free, each one more doubles the wait. Without redis nobody waits: being locked out by an outage would be worse.
    """
    try:
        with _redis() as client:
            keys = _keys(request, door)
            # Looked at first: who waits for one of the two uses up no try of the other.
            return max(*(int(client.ttl(f"{key}:wait")) for key in keys), 0) or max(_take(client, key) for key in keys)
    except (RedisError, OSError):
        return 0


def _take(client: Redis, key: str) -> int:
    tries = int(client.incr(key))
    client.expire(key, WINDOW_SECONDS)
    if tries < FREE_TRIES:
        return 0
    wait = min(2 ** (tries - FREE_TRIES + 1), LONGEST_WAIT)
    return 0 if client.set(f"{key}:wait", 1, ex=wait, nx=True) else wait  # of two at once, the first has the try


def give_back(request: HttpRequest, door: str = SIGN_IN) -> None:
    """A right password was no guess. It clears the name's count; the address gets one back, or one account would free guessing others."""
    try:
        with _redis() as client:
            address, *names = _keys(request, door)
            for name in names:
                client.delete(name, f"{name}:wait")
            if int(client.decr(address)) < FREE_TRIES:
                client.delete(f"{address}:wait")
            client.expire(address, WINDOW_SECONDS)
    except (RedisError, OSError):
        return
