"""core.access: the only permission code, walked role by role and verb by verb (INV-14, INV-15)."""

from collections.abc import Callable
from itertools import product

import pytest
from django.contrib.auth.models import User

from instances.models import Instance
from opsweb.core import access
from opsweb.core.access import LEAST_ROLE, OF_SUPERUSERS, OWN, SYSTEM, Actor, Role, Scope
from opsweb.core.errors import Forbidden, NotFound

TEAM, ELSEWHERE = 1, 2
READS = {verb for verb, least in LEAST_ROLE.items() if least is Role.VIEWER} - OWN


def member(role: Role, scopes: frozenset[str] = Scope.ALL) -> Actor:
    return Actor(7, "someone", roles={TEAM: role}, scopes=scopes)


@pytest.mark.parametrize(("role", "verb"), list(product(Role, LEAST_ROLE)))
def test_a_role_includes_the_lower_ones(role: Role, verb: str) -> None:
    reason = access.refusal(member(role), verb, TEAM)
    assert (reason == "") is (role >= LEAST_ROLE[verb])
    if reason:
        assert LEAST_ROLE[verb].name.lower() in reason


def test_a_viewer_reads_and_nothing_else() -> None:
    assert {"instance.view", "image.view", "console.read", "network.view", "group.view", "team.view"} == READS
    assert {"team.leave"} == OWN


@pytest.mark.parametrize("verb", LEAST_ROLE)
def test_a_stranger_is_told_that_there_is_nothing(verb: str) -> None:
    """INV-15: not "forbidden", whatever they are elsewhere."""
    with pytest.raises(NotFound):
        access.require(member(Role.ADMIN), verb, ELSEWHERE)


@pytest.mark.parametrize(("verb", "team"), [*product(sorted(OF_SUPERUSERS), (TEAM, None)), ("team.view", None)])
def test_what_no_role_is_enough_for_is_a_superusers(verb: str, team: int | None) -> None:
    with pytest.raises(Forbidden, match="admins of the panel"):
        access.require(member(Role.ADMIN), verb, team)
    access.require(SYSTEM, verb, team)
    with pytest.raises(Forbidden, match="token"):
        access.require(Actor(1, "root", superuser=True, scopes=frozenset()), verb, team)


@pytest.mark.parametrize("verb", sorted(OF_SUPERUSERS))
def test_nor_is_a_strangers_team_told_of_then(verb: str) -> None:
    """INV-15."""
    with pytest.raises(NotFound):
        access.require(member(Role.ADMIN), verb, ELSEWHERE)


@pytest.mark.parametrize("verb", [*LEAST_ROLE, *sorted(OF_SUPERUSERS)])
def test_in_an_archived_team_a_superuser_looks_and_restores(verb: str) -> None:
    actor = Actor(1, "root", superuser=True, archived=frozenset({TEAM}))
    assert ("archived" in access.refusal(actor, verb, TEAM)) is (verb not in READS | {"team.restore"})
    assert access.refusal(actor, verb, ELSEWHERE) == ""


def test_a_member_is_told_which_role_is_needed() -> None:
    with pytest.raises(Forbidden, match="operator"):
        access.require(member(Role.VIEWER), "instance.start", TEAM)


@pytest.mark.parametrize("verb", LEAST_ROLE)
def test_a_superuser_may_everywhere_but_not_beyond_the_token(verb: str) -> None:
    access.require(SYSTEM, verb, ELSEWHERE)
    reader = Actor(1, "root", superuser=True, scopes=frozenset({Scope.READ}))
    assert (access.refusal(reader, verb, TEAM) == "") is (verb in READS)


@pytest.mark.parametrize(
    ("scopes", "verb", "may"),
    [({"read"}, "instance.start", False), ({"write"}, "instance.view", False), ({"read", "write"}, "instance.start", True)],
)
def test_a_token_may_no_more_than_its_scopes(scopes: set[str], verb: str, may: bool) -> None:
    assert (access.refusal(member(Role.ADMIN, frozenset(scopes)), verb, TEAM) == "") is may


def test_a_verb_that_is_in_no_table_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        access.refusal(SYSTEM, "instance.explode", TEAM)


def test_only_what_is_visible_is_found(
    as_actor: Callable[[User], Actor], olga: User, root: User, nobody: User, running: Instance, foreign: Instance
) -> None:
    """INV-15."""

    def seen(actor: Actor) -> set[str]:
        return {instance.name for instance in access.visible(actor, Instance.objects.all())}

    assert seen(as_actor(olga)) == {"web1"}
    assert seen(as_actor(nobody)) == set()
    assert seen(as_actor(root)) == {"web1", "theirs"}
    assert seen(Actor(olga.pk, "olga", roles=as_actor(olga).roles, scopes=frozenset({Scope.WRITE}))) == set()
    assert access.get_or_404(as_actor(olga), Instance.objects.all(), pk=running.pk) == running
    with pytest.raises(NotFound):
        access.get_or_404(as_actor(olga), Instance.objects.all(), pk=foreign.pk)
