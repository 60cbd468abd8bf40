"""Slows down guessing of passwords: failures are counted in redis for each address and each name. Called by the sign-in page."""

from django.http import HttpRequest
from redis import Redis, RedisError

from opsweb.environment import env

FREE_FAILURES = 5
WINDOW_SECONDS = 300
LONGEST_WAIT = 60


def _keys(request: HttpRequest) -> list[str]:
    name = request.POST.get("username", "")[:150].lower()
    return [f"opsweb:sign-in:address:{request.META.get('REMOTE_ADDR', '')}", f"opsweb:sign-in:name:{name}"]


def _redis() -> Redis:
    return Redis.from_url(env.redis, socket_timeout=1)


def seconds_to_wait(request: HttpRequest) -> int:
    """0 when the person may try now. Without redis nobody waits: being locked out by an outage would be worse."""
    try:
        with _redis() as client:
            waits = [client.ttl(f"{key}:wait") for key in _keys(request)]
    except (RedisError, OSError):
        return 0
    return max(0, *(int(wait) for wait in waits))


def count_failure(request: HttpRequest) -> None:
    """After FREE_FAILURES each one doubles the wait."""
    try:
        with _redis() as client:
            for key in _keys(request):
                failures = int(client.incr(key))
                client.expire(key, WINDOW_SECONDS)
                if failures >= FREE_FAILURES:
                    client.set(f"{key}:wait", 1, ex=min(2 ** (failures - FREE_FAILURES + 1), LONGEST_WAIT))
    except (RedisError, OSError):
        return


def forget(request: HttpRequest) -> None:
    """A right password clears the name's count; the address keeps its own, or one account would free the guessing of others."""
    try:
        with _redis() as client:
            name = _keys(request)[1]
            client.delete(name, f"{name}:wait")
    except (RedisError, OSError):
        return
