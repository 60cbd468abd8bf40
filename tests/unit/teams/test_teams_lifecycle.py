"""Teams themselves: superusers make them and set their quotas, nobody else."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client

from instances.models import Instance
from instances.services.power import request
from instances.states import Desired, Observed, Verb
from opsweb.core import access
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, Forbidden, Invalid, NotFound
from opsweb.core.models import AuditEntry, Operation
from opsweb.teams import invitations, lifecycle
from opsweb.teams.chosen import teams_of
from opsweb.teams.models import Membership, Team
from tests.conftest import SentTasks, nothing_changes
from tests.unit.conftest import MakeInstance

AsActor = Callable[[User], Actor]
SignedIn = Callable[[User], Client]
ROWS = (Team, AuditEntry)
QUOTAS = {f"quota_{kind}": 7 for kind in ("instances", "vcpus", "memory_mib", "networks", "addresses", "forwards", "rules")}


@pytest.fixture(autouse=True)
def _sent(sent: SentTasks) -> None:
    """Nothing leaves the test."""


def test_a_superuser_makes_one_with_a_quota(signed_in: SignedIn, root: User) -> None:
    client = signed_in(root)
    assert client.post("/new-team/", {"name": "labs"} | QUOTAS)["Location"] == "/teams/labs/"
    team = Team.objects.get(name="labs")
    assert {column: getattr(team, column) for column in QUOTAS} == QUOTAS
    assert (AuditEntry.objects.get().verb, AuditEntry.objects.get().team) == ("team.create", team)
    assert 'href="/teams/labs/"' in client.get("/teams/").content.decode()
    assert client.get("/teams/labs/").status_code == 200


@pytest.mark.parametrize(
    ("name", "told"), [("payments", "already exists"), ("Not A Name", "lower-case"), ("../x", "lower-case"), ("", "required")]
)
def test_a_name_that_cannot_be_is_said_beside_it(signed_in: SignedIn, team: Team, root: User, name: str, told: str) -> None:
    client = signed_in(root)
    with nothing_changes(*ROWS):
        answer = client.post("/new-team/", {"name": name} | QUOTAS)
    assert answer.status_code == 422
    assert told in answer.content.decode()


def test_a_name_that_was_taken_meanwhile(team: Team, root: User, as_actor: AsActor) -> None:
    with nothing_changes(*ROWS), pytest.raises(Conflict, match="Take another name") as refusal:
        lifecycle.create("payments", QUOTAS, actor=as_actor(root))
    assert refusal.value.code == "name_taken"


def test_a_quota_changes_and_says_which(signed_in: SignedIn, team: Team, root: User) -> None:
    """INV-18: names of fields; and saving what is so already is no change."""
    client, form = signed_in(root), {column: getattr(team, column) for column in QUOTAS}
    with nothing_changes(*ROWS):
        assert client.post("/teams/payments/quota/", form).status_code == 302
    client.post("/teams/payments/quota/", form | {"quota_vcpus": 5, "name": "other"})
    team.refresh_from_db()
    assert (team.quota_vcpus, team.quota_instances, team.name) == (5, 20, "payments")
    assert AuditEntry.objects.get().details == {"fields": ["quota_vcpus"]}
    assert "of 5" in client.get("/teams/payments/").content.decode()


@pytest.mark.parametrize("limit", ["-1", "x", "", "99999999999999999999"])
def test_a_limit_that_cannot_be_is_refused(signed_in: SignedIn, team: Team, root: User, limit: str) -> None:
    client = signed_in(root)
    with nothing_changes(*ROWS):
        assert client.post("/teams/payments/quota/", QUOTAS | {"quota_rules": limit}).status_code == 422


def test_the_service_checks_by_itself(team: Team, root: User, as_actor: AsActor) -> None:
    with nothing_changes(*ROWS):
        with pytest.raises(Invalid, match="lower-case"):
            lifecycle.create("Not A Name", {}, actor=as_actor(root))
        with pytest.raises(Invalid):
            lifecycle.set_quotas(team, {"quota_rules": -1}, actor=as_actor(root))


def test_a_teams_own_admin_may_neither(team: Team, other_team: Team, ana: User, as_actor: AsActor) -> None:
    actor = as_actor(ana)
    with nothing_changes(*ROWS):
        with pytest.raises(Forbidden, match="admins of the panel"):
            lifecycle.create("labs", {}, actor=actor)
        with pytest.raises(Forbidden, match="admins of the panel"):
            lifecycle.set_quotas(team, {"quota_rules": 9}, actor=actor)
        with pytest.raises(NotFound):
            lifecycle.set_quotas(other_team, {"quota_rules": 9}, actor=actor)


def test_a_member_sees_their_teams_alone(signed_in: SignedIn, other_team: Team, ana: User) -> None:
    """INV-14."""
    text = signed_in(ana).get("/teams/").content.decode()
    assert 'href="/teams/payments/"' in text
    assert "elsewhere" not in text
    assert "This is for admins of the panel." in text
    assert "/new-team/" not in text


class TestArchiving:
    def test_its_members_see_nothing_and_it_is_in_no_switch(
        self, signed_in: SignedIn, team: Team, other_team: Team, ana: User, root: User, stopped: Instance, as_actor: AsActor
    ) -> None:
        Membership.objects.create(user=ana, team=other_team, role="viewer")
        client = signed_in(ana)
        assert client.get(f"/instances/{stopped.pk}/").status_code == 200
        lifecycle.archive(team, actor=as_actor(root))
        for path in (f"/instances/{stopped.pk}/", "/teams/payments/", "/instances/?team=payments"):
            assert client.get(path).status_code == 404, path
        assert "payments" not in client.get("/").content.decode()
        for user in (ana, root):
            assert [mine.name for mine in teams_of(as_actor(user))] == ["elsewhere"]

    def test_nothing_is_made_started_or_changed_by_a_superuser_neither(
        self, team: Team, ana: User, root: User, stopped: Instance, as_actor: AsActor
    ) -> None:
        lifecycle.archive(team, actor=as_actor(root))
        actor = as_actor(root)
        with nothing_changes(*ROWS, Instance, Membership):
            with pytest.raises(Forbidden, match="archived"):
                request(Verb.START, stopped, actor=actor)
            with pytest.raises(Forbidden, match="archived"):
                invitations.invite(team, "viewer", timedelta(days=1), actor=actor)
        assert "archived" in access.refusal(actor, "instance.create", team.pk)
        assert access.refusal(actor, "instance.view", team.pk) == ""

    def test_a_link_into_it_does_not_hold(self, team: Team, root: User, as_actor: AsActor) -> None:
        secret = invitations.invite(team, "viewer", timedelta(days=1), actor=as_actor(root))
        lifecycle.archive(team, actor=as_actor(root))
        with pytest.raises(NotFound):
            invitations.find(secret)

    @pytest.mark.parametrize(
        ("desired", "observed"),
        [
            (Desired.RUNNING, Observed.RUNNING),
            (Desired.RUNNING, Observed.ABSENT),
            (Desired.PAUSED, Observed.PAUSED),
            (Desired.STOPPED, Observed.RUNNING),
        ],
    )
    def test_it_is_refused_while_something_runs_or_is_to(
        self, signed_in: SignedIn, root: User, make_instance: MakeInstance, desired: str, observed: str
    ) -> None:
        make_instance("busy", desired=desired, observed=observed)
        client = signed_in(root)
        with nothing_changes(*ROWS):
            answer = client.post("/teams/payments/archive/", headers={"HX-Request": "true"})
        assert answer.status_code == 409
        assert "busy. Stop them first." in answer["HX-Trigger"]

    def test_nor_while_something_is_being_done(self, team: Team, root: User, as_actor: AsActor) -> None:
        Operation.objects.create(kind="image", target_id=uuid4(), target_label="web", team=team, verb="build", requested_by="ana")
        with nothing_changes(*ROWS), pytest.raises(Conflict, match="build web"):
            lifecycle.archive(team, actor=as_actor(root))

    def test_it_comes_back_as_it_was(self, signed_in: SignedIn, team: Team, ana: User, root: User) -> None:
        client = signed_in(root)
        assert client.post("/teams/payments/archive/")["Location"] == "/teams/"
        assert ">archived</span>" in client.get("/teams/").content.decode()
        assert "Restore" in client.get("/teams/payments/").content.decode()
        assert client.post("/teams/payments/restore/")["Location"] == "/teams/payments/"
        assert signed_in(ana).get("/teams/payments/").status_code == 200
        assert [entry.verb for entry in AuditEntry.objects.all()] == ["team.restore", "team.archive"]

    def test_a_teams_own_admin_may_neither(self, team: Team, ana: User, as_actor: AsActor) -> None:
        with nothing_changes(*ROWS):
            for act in (lifecycle.archive, lifecycle.restore):
                with pytest.raises(Forbidden, match="admins of the panel"):
                    act(team, actor=as_actor(ana))
