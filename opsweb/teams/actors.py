"""Builds the `Actor` that core.access judges, from a session's user or from a bearer token."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone

from opsweb.core.access import Actor, Role, Scope
from opsweb.core.errors import Unauthenticated
from opsweb.teams.models import Membership, Team, Token

TOKEN_PREFIX = "ow_"  # noqa: S105  # the public start of every token, so that scanners can find leaked ones
SEEN_EVERY = timedelta(minutes=1)  # a token's last use is kept to the minute: no write for each request


def actor_for(user: User, *, scopes: frozenset[str] = Scope.ALL, via: str = "browser", request_id: str = "", address: str = "") -> Actor:
    """The actor of a signed-in user; an archived team has no members. One query, for a superuser two."""
    members = Membership.objects.filter(user=user, team__archived_at=None)
    roles = {team: Role[role.upper()] for team, role in members.values_list("team_id", "role")}
    archived = Team.objects.exclude(archived_at=None).values_list("pk", flat=True) if user.is_superuser else ()
    return Actor(user.pk, user.get_username(), user.is_superuser, roles, frozenset(archived), scopes, via, request_id, address)


def user_of_token(secret: str) -> tuple[User, frozenset[str]]:
    """The token's user and scopes. Raises: Unauthenticated when it is unknown, expired, or its user is not active."""
    now = timezone.now()
    live = Token.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), user__is_active=True).select_related("user")
    token = live.filter(digest=Token.digest_of(secret)).first() if secret.startswith(TOKEN_PREFIX) else None
    if token is None:
        raise Unauthenticated("The token is unknown, expired or revoked. Make a new one, or sign in.")
    if token.last_used_at is None or now - token.last_used_at > SEEN_EVERY:
        Token.objects.filter(pk=token.pk).update(last_used_at=now)
    return token.user, frozenset(token.scopes.split())


def bearer(request: HttpRequest) -> str:
    """The bearer token of the Authorization header, "" when there is none (RFC 6750 §2.1)."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def actor_of(request: HttpRequest) -> Actor:
    """Who sent this request; built once for each. Raises: Unauthenticated."""
    actor: Actor | None = getattr(request, "opsweb_actor", None)
    if actor is None:
        actor = _identify(request)
        request.opsweb_actor = actor  # type: ignore[attr-defined]
    return actor


def origin_of(request: HttpRequest) -> dict[str, Any]:
    """An actor's `request_id` and `address`: where the audit log says that it came from."""
    return {"request_id": getattr(request, "request_id", ""), "address": request.META.get("REMOTE_ADDR", "")}


def _identify(request: HttpRequest) -> Actor:
    facts = origin_of(request)
    if secret := bearer(request):
        user, scopes = user_of_token(secret)
        return actor_for(user, scopes=scopes, via="api", **facts)
    session_user: AbstractBaseUser | AnonymousUser = request.user
    if not isinstance(session_user, User):
        raise Unauthenticated("Sign in, or send a token.")
    return actor_for(session_user, **facts)
