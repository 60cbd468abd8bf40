"""Who is in a team: other roles, going, being taken out; and a team keeps an admin."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, Forbidden, Invalid, NotFound
from opsweb.core.models import AuditEntry
from opsweb.teams import members
from opsweb.teams.models import Membership, Team
from tests.conftest import SentTasks, nothing_changes

AsActor = Callable[[User], Actor]
SignedIn = Callable[[User], Client]
ROWS = (Membership, AuditEntry)


@pytest.fixture(autouse=True)
def _sent(sent: SentTasks) -> None:
    """Nothing leaves the test."""


def roles(team: Team) -> dict[str, str]:
    return dict(Membership.objects.filter(team=team).values_list("user__username", "role"))


def test_an_admin_changes_a_role_and_takes_somebody_out(team: Team, ana: User, olga: User, vic: User, as_actor: AsActor) -> None:
    """INV-18: each with its entry."""
    members.change_role(team, vic.pk, "operator", actor=as_actor(ana))
    members.remove(team, olga.pk, actor=as_actor(ana))
    assert roles(team) == {"ana": "admin", "vic": "operator"}
    assert [(entry.verb, entry.details, entry.team) for entry in AuditEntry.objects.all()] == [
        ("team.remove", {"user": "olga", "role": "operator"}, team),
        ("team.role", {"user": "vic", "role": "operator"}, team),
    ]


def test_the_role_that_one_has_is_no_change(team: Team, ana: User, vic: User, as_actor: AsActor) -> None:
    with nothing_changes(*ROWS):
        members.change_role(team, vic.pk, "viewer", actor=as_actor(ana))
        members.change_role(team, ana.pk, "admin", actor=as_actor(ana))


@pytest.mark.parametrize("who", ["olga", "vic"])
def test_others_may_change_nobody_but_may_go(team: Team, ana: User, olga: User, vic: User, as_actor: AsActor, who: str) -> None:
    actor = as_actor(User.objects.get(username=who))
    with nothing_changes(*ROWS):
        with pytest.raises(Forbidden, match="admin"):
            members.change_role(team, actor.user_id or 0, "admin", actor=actor)
        with pytest.raises(Forbidden, match="admin"):
            members.remove(team, ana.pk, actor=actor)
    members.leave(team, actor=actor)
    assert who not in roles(team)
    assert AuditEntry.objects.get().verb == "team.leave"


def test_a_stranger_and_a_superuser_have_nothing_to_leave(team: Team, ana: User, nobody: User, root: User, as_actor: AsActor) -> None:
    for user in (nobody, root):
        with nothing_changes(*ROWS), pytest.raises(NotFound):
            members.leave(team, actor=as_actor(user))


@pytest.mark.parametrize("by", ["ana", "root"])
def test_the_last_admin_stays_one(team: Team, ana: User, olga: User, root: User, as_actor: AsActor, by: str) -> None:
    """Whoever asks; and one who is switched off can't stand in."""
    Membership.objects.create(user=User.objects.create_user("gone", is_active=False), team=team, role="admin")
    actor = as_actor(User.objects.get(username=by))
    with nothing_changes(*ROWS):
        for act in (
            lambda: members.change_role(team, ana.pk, "viewer", actor=actor),
            lambda: members.remove(team, ana.pk, actor=actor),
            lambda: members.leave(team, actor=as_actor(ana)),
        ):
            with pytest.raises(Conflict, match="ana is the only admin of payments") as refusal:
                act()
            assert refusal.value.code == "last_admin"
    members.change_role(team, olga.pk, "admin", actor=actor)
    members.leave(team, actor=as_actor(ana))
    assert roles(team) == {"gone": "admin", "olga": "admin"}


def test_two_admins_who_judge_at_once_leave_one(team: Team, ana: User, olga: User, as_actor: AsActor) -> None:
    """Both were let in before either had changed anything."""
    Membership.objects.filter(user=olga).update(role="admin")
    hers, others = as_actor(ana), as_actor(olga)
    members.change_role(team, olga.pk, "viewer", actor=hers)
    with pytest.raises(Conflict):
        members.change_role(team, ana.pk, "viewer", actor=others)


def test_a_role_is_one_of_three(team: Team, ana: User, vic: User, as_actor: AsActor) -> None:
    with nothing_changes(*ROWS), pytest.raises(Invalid, match="viewer, operator, admin"):
        members.change_role(team, vic.pk, "owner", actor=as_actor(ana))


def test_somebody_of_another_team_is_nobody_here(team: Team, other_team: Team, ana: User, nobody: User, as_actor: AsActor) -> None:
    Membership.objects.create(user=nobody, team=other_team, role="viewer")
    with nothing_changes(*ROWS):
        for act in (members.remove, lambda *args, **named: members.change_role(*args, "admin", **named)):
            with pytest.raises(NotFound):
                act(team, nobody.pk, actor=as_actor(ana))


class TestThePage:
    def test_it_shows_members_roles_and_quota(self, signed_in: SignedIn, ana: User, olga: User, vic: User) -> None:
        text = signed_in(vic).get("/teams/payments/").content.decode()
        for name in ("ana", "olga", "vic"):
            assert f">{name}</span>" in text
        assert "of 16 GiB" in text
        assert "0 of 64" in text  # addresses: the networks' meters stand there too

    def test_who_may_not_is_told_why_and_sees_no_form(self, signed_in: SignedIn, ana: User, olga: User, vic: User) -> None:
        text = signed_in(olga).get("/teams/payments/").content.decode()
        assert "This needs the role “admin” in the team." in text
        assert "/members/" not in text
        assert "/members/" in signed_in(ana).get("/teams/payments/").content.decode()

    def test_a_strangers_is_not_there(self, signed_in: SignedIn, nobody: User, ana: User) -> None:
        """INV-15."""
        client = signed_in(nobody)
        assert client.get("/teams/payments/").status_code == client.get("/teams/nowhere/").status_code == 404

    def test_the_last_admin_reads_a_clear_sentence(self, signed_in: SignedIn, ana: User) -> None:
        answer = signed_in(ana).post("/teams/payments/leave/", headers={"HX-Request": "true"})
        assert answer.status_code == 409
        assert "Make somebody else an admin first." in answer["HX-Trigger"]

    def test_who_left_is_led_to_the_dashboard(self, signed_in: SignedIn, ana: User, olga: User) -> None:
        client = signed_in(olga)
        client.get("/teams/payments/")
        assert client.post("/teams/payments/leave/", headers={"HX-Request": "true"})["HX-Redirect"] == "/"
        assert "You left payments." in client.get("/").content.decode()
        assert client.get("/teams/payments/").status_code == 404

    def test_looking_changes_nothing(self, signed_in: SignedIn, ana: User, vic: User) -> None:
        """SEC-H1."""
        client = signed_in(ana)
        with nothing_changes(*ROWS):
            for path in ("leave/", f"members/{vic.pk}/role/", f"members/{vic.pk}/remove/"):
                assert client.get(f"/teams/payments/{path}").status_code == 405
            assert client.get("/teams/payments/").status_code == 200

    def test_a_foreign_page_presses_nothing(self, ana: User, vic: User) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(ana)
        with nothing_changes(*ROWS):
            assert client.post(f"/teams/payments/members/{vic.pk}/remove/").status_code == 403

    def test_a_hostile_name_is_inert(self, signed_in: SignedIn, team: Team, ana: User) -> None:
        """SEC-H2."""
        evil = User.objects.create(username='"><script>alert(1)</script>')
        Membership.objects.create(user=evil, team=team, role="viewer")
        text = signed_in(ana).get("/teams/payments/").content.decode()
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)" in text
