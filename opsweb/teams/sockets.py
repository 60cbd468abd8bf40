"""Who may open a websocket: the page's whole origin, or a bearer token. Put around the socket routes in opsweb.asgi."""

from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from django.contrib.auth import get_user
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest

from opsweb.core.access import Actor
from opsweb.core.errors import Refusal, Unauthenticated
from opsweb.environment import env
from opsweb.teams.actors import actor_for, user_of_token

Scope = MutableMapping[str, Any]
SOCKETS_EACH = 200  # of one person: each costs a connection to redis and a task
App = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[dict[str, Any]], Awaitable[None]]], Awaitable[None]]


class Identity:
    """Who is behind a socket, askable again: sessions end, tokens expire, roles change while it is open."""

    def __init__(self, scope: Scope, token: str) -> None:
        self.scope, self.token = scope, token

    async def actor(self) -> Actor:
        """The actor as of now. Raises: Unauthenticated."""
        actor: Actor = await database_sync_to_async(self._look)()
        return actor

    def _look(self) -> Actor:
        if self.token:
            holder, scopes = user_of_token(self.token)
            return actor_for(holder, scopes=scopes, via="api")
        return actor_for(_user_of_session(self.scope["session"].session_key))


def _user_of_session(key: str | None) -> User:
    """Read anew: it may have expired, or the password it was opened with may be another one now. Raises: Unauthenticated."""
    request = HttpRequest()
    request.session = SessionStore(key)
    user = get_user(request)
    if not isinstance(user, User):
        raise Unauthenticated("Sign in.")
    return user


class SocketGate:
    """Refuses before the upgrade (SEC-A1, SEC-A2): a foreign or null origin, no origin without a token, a wrong token, nobody."""

    def __init__(self, inner: App) -> None:
        self.inner = AuthMiddlewareStack(_Authenticated(inner))

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Called by the server for each socket."""
        headers = dict(scope["headers"])
        scope["opsweb_token"] = _bearer(headers.get(b"authorization", b""))
        if not origin_is_ours(headers.get(b"origin"), has_token=bool(scope["opsweb_token"])):
            await send({"type": "websocket.close", "code": 4403})
            return
        await self.inner(scope, receive, send)


class _Authenticated:
    def __init__(self, inner: App) -> None:
        self.inner = inner
        self.open: Counter[int | None] = Counter()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        scope["identity"] = identity = Identity(scope, scope["opsweb_token"])
        try:
            scope["actor"] = actor = await identity.actor()
        except Refusal:
            await send({"type": "websocket.close", "code": 4401})
            return
        if self.open[actor.user_id] >= SOCKETS_EACH:
            await send({"type": "websocket.close", "code": 4429})
            return
        self.open[actor.user_id] += 1
        try:
            await self.inner(scope, receive, send)
        finally:
            self.open[actor.user_id] -= 1


def origin_is_ours(origin: bytes | None, *, has_token: bool) -> bool:
    """Compare scheme, host and port; a browser always sends an Origin, so none at all needs a token (which a page can't send)."""
    if origin is None:
        return has_token
    try:
        theirs, ours = urlsplit(origin.decode("ascii")), urlsplit(env.panel_url)
        return bool(theirs.hostname) and _whole(theirs) == _whole(ours)
    except (UnicodeDecodeError, ValueError):
        return False


def _whole(url: Any) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _bearer(header: bytes) -> str:
    scheme, _, secret = header.decode("latin-1").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""
