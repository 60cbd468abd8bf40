"""Groups in the browser: made, changed, taken away, and who may not is told so with nothing changed."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from networks.models import Group, Network
from networks.services.groups import create
from networks.services.rules import RuleSpec, set_rules
from opsweb.core.access import SYSTEM
from opsweb.teams.models import Team
from tests.conftest import SentTasks, nothing_changes
from tests.unit.conftest import MakeInstance
from tests.unit.networks.conftest import make_network  # noqa: F401  # a fixture

SignedIn = Callable[[User], Client]


@pytest.fixture(autouse=True)
def _sent(sent: SentTasks) -> None:
    """Nothing leaves the test."""


def test_a_group_is_made_changed_and_taken_away(signed_in: SignedIn, olga: User, make_instance: MakeInstance) -> None:
    client, one, two = signed_in(olga), make_instance("one"), make_instance("two")
    assert "No group yet" in client.get("/networks/groups/").content.decode()
    assert client.post("/networks/groups/new/", {"name": "web", "instances": [one.pk, two.pk]}).status_code == 302
    group = Group.objects.get()
    assert set(group.instances.all()) == {one, two}
    text = client.get("/networks/groups/").content.decode()
    assert f"/networks/groups/{group.pk}/" in text
    assert f'href="/instances/{one.pk}/?tab=network"' in text
    form = client.get(f"/networks/groups/{group.pk}/").content.decode()
    assert form.count(" checked") == 2
    assert client.post(f"/networks/groups/{group.pk}/", {"name": "front", "instances": [two.pk]}).status_code == 302
    group.refresh_from_db()
    assert (group.name, list(group.instances.all())) == ("front", [two])
    answer = client.post(f"/networks/groups/{group.pk}/delete/", headers={"HX-Request": "true"})
    assert (answer.status_code, answer["HX-Redirect"], Group.objects.count()) == (204, "/networks/groups/", 0)


def test_a_group_that_a_rule_speaks_of_says_which_and_stays(
    signed_in: SignedIn, olga: User, team: Team, make_network: Callable[..., Network]  # noqa: F811
) -> None:  # fmt: skip
    lan, group = make_network(), create(team, "web", actor=SYSTEM)
    set_rules(lan, [RuleSpec("allow", "in", "tcp", "5432", "group:web")], actor=SYSTEM)
    client = signed_in(olga)
    text = client.get(f"/networks/groups/{group.pk}/").content.decode()
    assert f'href="/networks/{lan.pk}/?tab=rules">network {lan.name}' in text
    with nothing_changes(Group):
        answer = client.post(f"/networks/groups/{group.pk}/delete/", headers={"HX-Request": "true"})
    assert answer.status_code == 409
    assert "speaks of group web" in answer["HX-Trigger"]


@pytest.mark.parametrize("name", ["web", "Not A Name", ""])
def test_a_name_that_cannot_be_is_said_beside_it(signed_in: SignedIn, olga: User, team: Team, name: str) -> None:
    create(team, "web", actor=SYSTEM)
    with nothing_changes(Group):
        answer = signed_in(olga).post("/networks/groups/new/", {"name": name})
    assert answer.status_code == 422
    assert 'id="id_name-error"' in answer.content.decode()


def test_an_instance_of_another_team_is_no_choice(signed_in: SignedIn, olga: User, make_instance: MakeInstance, other_team: Team) -> None:
    """INV-15."""
    foreign = make_instance("foreign")
    type(foreign).objects.update(team=other_team)
    with nothing_changes(Group):
        answer = signed_in(olga).post("/networks/groups/new/", {"name": "web", "instances": [foreign.pk]})
    assert answer.status_code == 422
    assert "foreign" not in answer.content.decode().replace(str(foreign.pk), "")


def test_a_viewer_sees_the_form_and_the_sentence(signed_in: SignedIn, vic: User, team: Team) -> None:
    group = create(team, "web", actor=SYSTEM)
    text = signed_in(vic).get(f"/networks/groups/{group.pk}/").content.decode()
    assert 'aria-describedby="why-save"' in text
    assert "group-delete" not in text
    assert f"/groups/{group.pk}/delete/" not in text
