"""Links into a team: made and taken back by its admins, used once, by somebody who has an account or makes one."""

import logging
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, Forbidden, Invalid, NotFound
from opsweb.core.models import AuditEntry
from opsweb.teams import invitations, throttle
from opsweb.teams.models import Invitation, Membership, Team
from tests.conftest import SentTasks, nothing_changes

AsActor = Callable[[User], Actor]
SignedIn = Callable[[User], Client]
ROWS = (Invitation, Membership, AuditEntry, User)
PASSWORD = "a longer one of my own"
NEW = {"username": "nina", "password1": PASSWORD, "password2": PASSWORD}


@pytest.fixture(autouse=True)
def _sent(sent: SentTasks) -> None:
    """Nothing leaves the test."""


@pytest.fixture
def secret(team: Team, ana: User, as_actor: AsActor) -> str:
    return invitations.invite(team, "operator", timedelta(days=1), actor=as_actor(ana))


def path(secret: str) -> str:
    return f"/join/?invitation={secret}"


def text_of(answer: object) -> str:
    """Without the request's id, which differs."""
    return re.sub(r"Request <code>\w+</code>", "", answer.content.decode())  # type: ignore[attr-defined]


class TestMakingThem:
    def test_the_secret_is_kept_as_a_hash_and_told_once(self, signed_in: SignedIn, team: Team, ana: User) -> None:
        """INV-18: not in the table, not in the audit log, not on the page when it is looked at again."""
        client = signed_in(ana)
        answer = client.post("/teams/payments/invitations/", {"role": "viewer", "hours": "1"})
        secret = re.search(r"http://testserver/join/\?invitation=([\w-]{43})", answer.content.decode()).group(1)  # type: ignore[union-attr]
        assert "no-store" in answer["Cache-Control"]
        assert secret not in str([list(model.objects.values()) for model in ROWS])
        assert secret not in client.get("/teams/payments/").content.decode()
        assert Client().get(path(secret)).status_code == 200
        assert AuditEntry.objects.get(verb="team.invite").details == {"role": "viewer"}

    @pytest.mark.parametrize("lifetime", [timedelta(minutes=59), timedelta(days=30, seconds=1), timedelta(days=-1)])
    def test_it_holds_between_an_hour_and_thirty_days(self, team: Team, ana: User, as_actor: AsActor, lifetime: timedelta) -> None:
        with nothing_changes(*ROWS), pytest.raises(Invalid, match="between an hour and 30 days"):
            invitations.invite(team, "viewer", lifetime, actor=as_actor(ana))

    @pytest.mark.parametrize(
        "form", [{"role": "owner", "hours": "1"}, {"role": "viewer", "hours": "2"}, {"role": "viewer", "hours": "x"}, {}]
    )
    def test_what_the_form_does_not_offer_is_not_made(self, signed_in: SignedIn, ana: User, form: dict[str, str]) -> None:
        client = signed_in(ana)
        with nothing_changes(*ROWS):
            assert client.post("/teams/payments/invitations/", form)["Location"] == "/teams/payments/"

    def test_others_may_not(self, team: Team, olga: User, nobody: User, secret: str, as_actor: AsActor) -> None:
        pk = Invitation.objects.get().pk
        for user, refusal in ((olga, Forbidden), (nobody, NotFound)):
            with nothing_changes(*ROWS):
                with pytest.raises(refusal):
                    invitations.invite(team, "admin", timedelta(days=1), actor=as_actor(user))
                with pytest.raises(refusal):
                    invitations.revoke(team, pk, actor=as_actor(user))

    def test_another_teams_is_nobodys_to_take_back(self, other_team: Team, ana: User, secret: str, as_actor: AsActor) -> None:
        Membership.objects.create(user=ana, team=other_team, role="admin")
        with nothing_changes(*ROWS), pytest.raises(NotFound):
            invitations.revoke(other_team, Invitation.objects.get().pk, actor=as_actor(ana))

    def test_a_team_has_a_bounded_number_and_dead_ones_do_not_count(
        self, team: Team, ana: User, secret: str, as_actor: AsActor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(invitations, "MOST", 1)
        with nothing_changes(*ROWS), pytest.raises(Conflict, match="at most 1"):
            invitations.invite(team, "viewer", timedelta(days=1), actor=as_actor(ana))
        Invitation.objects.update(expires_at=timezone.now())
        invitations.invite(team, "viewer", timedelta(days=1), actor=as_actor(ana))
        assert Invitation.objects.get().role == "viewer"

    def test_they_are_listed_for_admins_alone(self, signed_in: SignedIn, ana: User, olga: User, secret: str) -> None:
        row = f'id="invitation-{Invitation.objects.get().pk}"'
        assert row in signed_in(ana).get("/teams/payments/").content.decode()
        assert row not in signed_in(olga).get("/teams/payments/").content.decode()


class TestUsingThem:
    def test_who_is_signed_in_joins_with_one_click(self, signed_in: SignedIn, team: Team, nobody: User, secret: str) -> None:
        client = signed_in(nobody)
        with nothing_changes(*ROWS):
            assert "Join as operator" in client.get(path(secret)).content.decode()
        assert client.post(path(secret))["Location"] == "/teams/payments/"
        assert Membership.objects.get(user=nobody).role == "operator"
        assert "You are in payments now, as operator." in client.get("/teams/payments/").content.decode()
        assert AuditEntry.objects.get(verb="team.join").actor == nobody

    def test_it_works_once(self, signed_in: SignedIn, nobody: User, root: User, secret: str) -> None:
        first, second = signed_in(nobody), signed_in(root)
        assert first.post(path(secret)).status_code == 302
        with nothing_changes(*ROWS):
            assert second.post(path(secret)).status_code == 404
            assert Client().post(path(secret), NEW).status_code == 404

    def test_of_two_at_once_the_first_has_it(
        self, nobody: User, root: User, secret: str, as_actor: AsActor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both have found it before either uses it."""
        found = invitations.find(secret)
        invitations.join(secret, actor=as_actor(nobody))
        monkeypatch.setattr(invitations, "find", lambda _: found)
        with nothing_changes(*ROWS), pytest.raises(NotFound):
            invitations.join(secret, actor=as_actor(root))

    def test_a_member_keeps_their_role_and_the_link_stays_unused(self, signed_in: SignedIn, ana: User, secret: str) -> None:
        client = signed_in(ana)
        with nothing_changes(*ROWS):
            assert "in payments already" in client.get(path(secret)).content.decode()
            assert client.post(path(secret)).status_code == 409

    def test_somebody_without_an_account_makes_one(self, team: Team, secret: str) -> None:
        client = Client()
        assert client.post(path(secret), NEW)["Location"] == "/teams/payments/"
        nina = User.objects.get(username="nina")
        assert (nina.check_password(PASSWORD), nina.is_superuser, nina.is_staff) == (True, False, False)
        assert Membership.objects.get(user=nina).role == "operator"
        assert client.get("/teams/payments/").status_code == 200
        made, joined = AuditEntry.objects.filter(actor=nina).order_by("pk")
        assert (made.verb, joined.verb) == ("user.create", "team.join")
        assert PASSWORD not in str(list(AuditEntry.objects.values()))

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"password1": "short", "password2": "short"}, "at least 10 characters"),
            ({"password2": "another one"}, "match"),
            ({"username": "olga"}, "already exists"),
            ({"username": "OLGA"}, "already exists"),
            ({"username": '"><script>alert(1)</script>'}, "valid username"),
            ({"username": ""}, "required"),
        ],
    )
    def test_what_cannot_be_an_account_is_said_and_uses_nothing_up(
        self, olga: User, secret: str, change: dict[str, str], told: str
    ) -> None:
        with nothing_changes(*ROWS):
            answer = Client().post(path(secret), NEW | change)
        assert answer.status_code == 422
        assert told in answer.content.decode()
        assert "<script>alert" not in answer.content.decode()
        assert PASSWORD not in answer.content.decode()

    def test_a_name_that_somebody_took_meanwhile(self, olga: User, secret: str) -> None:
        with nothing_changes(*ROWS), pytest.raises(Conflict, match="Take another"):
            invitations.join_as_new(secret, "olga", PASSWORD, actor=Actor(None, "olga"))

    def test_who_came_without_their_cookie_gets_no_second_account(self, signed_in: SignedIn, nobody: User, secret: str) -> None:
        """A link in a mail is another site: the first look sends no session, the form does."""
        client = signed_in(nobody)
        with nothing_changes(*ROWS):
            answer = client.post(path(secret), NEW)
        assert "Join as operator" in answer.content.decode()

    def test_the_sign_in_leads_back(self, nobody: User, secret: str) -> None:
        client = Client()
        link = re.search(r'href="(/sign-in/\?next=[^"]+)"', client.get(path(secret)).content.decode()).group(1)  # type: ignore[union-attr]
        form = {"username": "nobody", "password": "correct horse battery", "next": client.get(link).context["next"]}
        assert client.post("/sign-in/", form)["Location"] == path(secret)

    def test_a_foreign_page_joins_nobody(self, nobody: User, secret: str) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(nobody)
        with nothing_changes(*ROWS):
            assert client.post(path(secret)).status_code == 403

    def test_the_secret_is_in_no_log(self, secret: str, caplog: pytest.LogCaptureFixture) -> None:
        """INV-18: of a refused form, a forged one, or a used link."""
        caplog.set_level(logging.DEBUG)
        Client().post(path(secret), {})
        Client(enforce_csrf_checks=True).post(path(secret), NEW)
        Client().post(path(secret), NEW)
        Client().get(path(secret))
        assert "/join/" in caplog.text
        assert secret not in caplog.text


GOES = {
    "expired": lambda: Invitation.objects.update(expires_at=timezone.now()),
    "taken back": lambda: Invitation.objects.all().delete(),
    "maker no admin": lambda: Membership.objects.update(role="operator"),
    "maker gone from the team": lambda: Membership.objects.all().delete(),
    "maker switched off": lambda: User.objects.update(is_active=False),
}


@pytest.mark.parametrize("how", GOES)
def test_a_link_that_does_not_hold_says_no_more_than_one_that_never_was(secret: str, how: str) -> None:
    """INV-15."""
    GOES[how]()
    never = Client().get(path("guess"))
    with nothing_changes(*ROWS):
        for answer in (Client().get(path(secret)), Client().post(path(secret), NEW), Client().get("/join/")):
            assert (answer.status_code, text_of(answer)) == (404, text_of(never))
    assert never.status_code == 404


def test_a_role_elsewhere_keeps_no_link_alive(team: Team, other_team: Team, ana: User, secret: str) -> None:
    Membership.objects.create(user=ana, team=other_team, role="admin")
    Membership.objects.filter(team=team).update(role="viewer")
    assert Client().get(path(secret)).status_code == 404


def test_who_tries_too_often_waits(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The counting is proved in tests/contract/test_attack_sign_in.py."""
    monkeypatch.setattr(throttle, "take_a_try", lambda _, door: 7 if door == "join" else 0)
    with nothing_changes(*ROWS):
        answers = [Client().get(path(secret)), Client().post(path(secret), NEW)]
    assert [answer.status_code for answer in answers] == [429, 429]
    assert "Wait 7 s" in answers[0].content.decode()
