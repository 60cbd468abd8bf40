"""Tokens and the actors that are made of them: kept as a hash, ended by expiry, revocation and a disabled person (SEC-A2, SEC-A9)."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import RequestFactory
from django.utils import timezone

from opsweb.core.access import SYSTEM, Actor, Role
from opsweb.core.errors import Unauthenticated
from opsweb.core.models import AuditEntry
from opsweb.teams.actors import actor_of, bearer, user_of_token
from opsweb.teams.models import Token
from opsweb.teams.services import create_token


def test_a_secret_is_long_random_and_kept_as_a_hash(olga: User) -> None:
    """SEC-A9: at least 128 bits."""
    first, second = (create_token(olga, "laptop", actor=SYSTEM) for _ in range(2))
    assert re.fullmatch(r"ow_[A-Za-z0-9_-]{43}", first)
    assert first != second
    stored = str(list(Token.objects.values())) + str(list(AuditEntry.objects.values()))
    assert first[9:] not in stored
    assert user_of_token(first) == (olga, frozenset({"read", "write"}))


def test_making_one_leaves_an_entry(olga: User, as_actor: Callable[[User], Actor]) -> None:
    """INV-18."""
    create_token(olga, "laptop", actor=as_actor(olga), scopes="read")
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.actor_name, entry.target_label, entry.details) == ("token.create", "olga", "laptop", {"user": "olga"})


@pytest.mark.parametrize(("minutes", "lives"), [(-1, False), (1, True)])
def test_it_ends_when_it_expires(olga: User, minutes: int, lives: bool) -> None:
    """SEC-A2, INV-21."""
    secret = create_token(olga, "laptop", actor=SYSTEM)
    Token.objects.update(expires_at=timezone.now() + timedelta(minutes=minutes))
    if lives:
        assert user_of_token(secret)[0] == olga
    else:
        with pytest.raises(Unauthenticated):
            user_of_token(secret)


@pytest.mark.parametrize("given", ["", "ow_", "ow_guess", "OW_", "ow_\0", "ow_\xff", "x" * 100_000])
def test_nonsense_is_nobody(olga: User, given: str) -> None:
    create_token(olga, "laptop", actor=SYSTEM)
    with pytest.raises(Unauthenticated):
        user_of_token(given)


def test_the_stored_digest_is_no_secret(olga: User) -> None:
    """Who reads the table can't sign in with it."""
    create_token(olga, "laptop", actor=SYSTEM)
    token = Token.objects.get()
    for given in (token.digest, f"ow_{token.digest}"):
        with pytest.raises(Unauthenticated):
            user_of_token(given)


@pytest.mark.parametrize(
    ("header", "secret"),
    [("Bearer abc", "abc"), ("bearer abc", "abc"), ("Bearer  abc ", "abc"), ("Basic abc", ""), ("Bearer", ""), ("", ""), ("abc", "")],
)
def test_the_header_is_read_as_rfc_6750_says(rf: RequestFactory, header: str, secret: str) -> None:
    assert bearer(rf.get("/", headers={"Authorization": header})) == secret


def test_an_actor_carries_role_scopes_and_where_from(rf: RequestFactory, olga: User) -> None:
    request = rf.get("/", headers={"Authorization": f"Bearer {create_token(olga, 'laptop', actor=SYSTEM, scopes='read')}"})
    request.request_id = "abcd1234"
    actor = actor_of(request)
    assert (actor.name, list(actor.roles.values()), actor.scopes) == ("olga", [Role.OPERATOR], frozenset({"read"}))
    assert (actor.via, actor.request_id, actor.address) == ("api", "abcd1234", "127.0.0.1")
    assert actor_of(request) is actor


def test_nobody_is_no_actor(rf: RequestFactory) -> None:
    request = rf.get("/")
    request.user = AnonymousUser()
    with pytest.raises(Unauthenticated):
        actor_of(request)
