"""Teams themselves: superusers make them and set their quotas, nobody else."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, Forbidden, Invalid, NotFound
from opsweb.core.models import AuditEntry
from opsweb.teams import lifecycle
from opsweb.teams.models import Team
from tests.conftest import SentTasks, nothing_changes

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
