"""Who calls: a bearer token, or the panel's own session with its CSRF token. Used by the API object for every route."""

from django.conf import settings
from django.http import HttpRequest
from ninja.security import APIKeyCookie, HttpBearer
from ninja.utils import check_csrf

from opsweb.core.access import Actor
from opsweb.core.errors import Forbidden
from opsweb.teams.actors import actor_of, bearer


class BearerToken(HttpBearer):
    """`Authorization: Bearer ow_…`. A request with that header is judged by it alone, whatever cookies came along."""

    def __call__(self, request: HttpRequest) -> Actor | None:
        """Ninja asks each kind in turn; None passes on to the next. Raises: Unauthenticated for a token that is no good."""
        return self.authenticate(request, bearer(request)) if bearer(request) else None

    def authenticate(self, request: HttpRequest, token: str) -> Actor:
        """The token's actor."""
        return actor_of(request)


class SessionCookie(APIKeyCookie):
    """The browser's session. Raises: Unauthenticated, and Forbidden("csrf") for an unsafe request that another site may have sent."""

    param_name = settings.SESSION_COOKIE_NAME

    def __call__(self, request: HttpRequest) -> Actor:
        """Asked last."""
        return self.authenticate(request, None)

    def authenticate(self, request: HttpRequest, key: str | None) -> Actor:
        """The session's actor; first who it is, then whether it was meant."""
        actor = actor_of(request)
        if check_csrf(request) is not None:
            raise Forbidden("The CSRF token is missing or old. Reload the page, or send a bearer token.", code="csrf")
        return actor


def caller(request: HttpRequest) -> Actor:
    """The actor of a request that passed one of these."""
    return actor_of(request)
