"""Quotas, members, one-time passwords, and which team a request means."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from opsweb.core.access import SYSTEM, Actor
from opsweb.core.errors import Conflict
from opsweb.core.models import AuditEntry
from opsweb.teams.chosen import choose, teams_of
from opsweb.teams.models import Membership, OneTimePassword, Team
from opsweb.teams.services import Usage, add_member, check_quota, give_one_time_password


@pytest.mark.parametrize(
    ("used", "wanted", "told"),
    [
        (Usage(19, 0, 0), Usage(1, 32, 16_384), ""),
        (Usage(20, 0, 0), Usage(1, 0, 0), "instances: 21 of 20"),
        (Usage(0, 32, 0), Usage(0, 1, 0), "vCPUs: 33 of 32"),
        (Usage(0, 0, 16_384), Usage(0, 0, 1), "memory: 16385 MiB of 16384 MiB"),
    ],
)
def test_the_quota_is_inclusive_and_says_its_figures(team: Team, used: Usage, wanted: Usage, told: str) -> None:
    """INV-13."""
    if not told:
        check_quota(team, used, wanted)
        return
    with pytest.raises(Conflict, match=told) as refusal:
        check_quota(team, used, wanted)
    assert refusal.value.code == "quota"
    assert team.name in refusal.value.message


def test_a_member_has_one_role(team: Team, nobody: User, ana: User, as_actor: Callable[[User], Actor]) -> None:
    for role in ("viewer", "operator"):
        add_member(team, nobody, role, actor=as_actor(ana))
    assert Membership.objects.get(user=nobody).role == "operator"
    assert [entry.details["role"] for entry in AuditEntry.objects.all()] == ["operator", "viewer"]


def test_a_one_time_password_works_and_is_in_no_log(olga: User) -> None:
    """SEC-A9, INV-18."""
    first, second = (give_one_time_password(olga, actor=SYSTEM) for _ in range(2))
    olga.refresh_from_db()
    assert not olga.check_password(first)
    assert olga.check_password(second)
    assert len(second) >= 16
    assert OneTimePassword.objects.get().user == olga
    assert second not in str(list(AuditEntry.objects.values()))


class TestChosenTeam:
    def test_the_one_that_was_named(self, team: Team, other_team: Team, root: User, as_actor: Callable[[User], Actor]) -> None:
        actor = as_actor(root)
        assert choose(teams_of(actor), "payments", actor) == team
        assert choose(teams_of(actor), "elsewhere", actor) == other_team

    def test_the_first_of_ones_own(self, team: Team, olga: User, as_actor: Callable[[User], Actor]) -> None:
        first = Team.objects.create(name="accounts")
        Team.objects.create(name="demo")
        Membership.objects.create(user=olga, team=first, role="viewer")
        actor = as_actor(olga)
        assert [mine.name for mine in teams_of(actor)] == ["accounts", "payments"]
        assert choose(teams_of(actor), "", actor) == first

    def test_demo_for_a_superuser(self, team: Team, root: User, as_actor: Callable[[User], Actor]) -> None:
        actor = as_actor(root)
        assert choose(teams_of(actor), "", actor) == team
        demo = Team.objects.create(name="demo")
        assert choose(teams_of(actor), "", actor) == demo

    def test_none_for_nobody(self, team: Team, nobody: User, as_actor: Callable[[User], Actor]) -> None:
        assert choose(teams_of(as_actor(nobody)), "payments", as_actor(nobody)) is None
