"""Which team a page is about: named when it fetches itself again, and that of the thing it shows; and links that lead somewhere."""

import re
from collections.abc import Callable

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from instances.models import Instance
from opsweb.core import audit
from opsweb.core.access import SYSTEM
from opsweb.core.models import Operation
from opsweb.teams.models import Membership, Team
from tests.unit.conftest import MakeInstance

SignedIn = Callable[[User], Client]


def test_an_open_page_names_its_team(signed_in: SignedIn, root: User, team: Team, foreign: Instance, make_instance: MakeInstance) -> None:
    """Another tab may look at another team meanwhile; this one's rows stay this team's."""
    client = signed_in(root)
    make_instance("own")
    client.post(reverse("team"), {"team": team.name})
    assert f'"X-Team": "{team.name}"' in client.get(reverse("instances:list")).content.decode()
    client.post(reverse("team"), {"team": foreign.team.name})
    part = client.get(reverse("instances:list"), headers={"X-Fragment": "instances", "X-Team": team.name}).content.decode()
    assert ">own<" in part
    assert f">{foreign.name}<" not in part


def test_a_team_that_is_not_ones_own_is_not_there(signed_in: SignedIn, olga: User, foreign: Instance) -> None:
    """INV-14."""
    assert signed_in(olga).get(reverse("instances:list"), headers={"X-Team": foreign.team.name}).status_code == 404


def test_the_create_form_goes_to_the_team_it_was_opened_for(signed_in: SignedIn, olga: User, team: Team) -> None:
    path = reverse("instances:create")
    assert f'action="{path}?team={team.name}"' in signed_in(olga).get(path).content.decode()


def test_the_frame_follows_the_thing_that_is_opened_and_no_fragment(
    signed_in: SignedIn, root: User, team: Team, foreign: Instance, make_instance: MakeInstance
) -> None:
    client, own = signed_in(root), make_instance("own")
    theirs = reverse("instances:detail", args=[foreign.pk])
    client.get(reverse("instances:detail", args=[own.pk]))
    client.get(theirs, headers={"X-Fragment": "instance"})
    assert client.session["team"] == team.name
    client.get(theirs)
    assert client.session["team"] == foreign.team.name


def test_what_is_gone_is_named_without_a_link(signed_in: SignedIn, olga: User, team: Team, make_instance: MakeInstance) -> None:
    gone, there = make_instance("gone"), make_instance("there")
    for row in (gone, there):
        audit.record(SYSTEM, "instance.start", kind="instance", target_id=row.pk, label=row.name, team_id=team.pk)
        Operation.objects.create(
            kind="instance", target_id=row.pk, target_label=row.name, team=team, verb="start", status="succeeded", requested_by="ana"
        )
    path = reverse("instances:detail", args=[gone.pk])
    gone.delete()
    client = signed_in(olga)
    for page in (reverse("activity"), reverse("operations:drawer")):
        text = client.get(page).content.decode()
        assert "gone" in text, page
        assert path not in text, page
        assert reverse("instances:detail", args=[there.pk]) in text, page


def test_who_is_in_several_teams_switches_in_the_rail(signed_in: SignedIn, olga: User, other_team: Team) -> None:
    client = signed_in(olga)
    assert 'name="team"' not in client.get(reverse("rail")).content.decode()
    Membership.objects.create(user=olga, team=other_team, role="viewer")
    text = client.get(reverse("rail")).content.decode()
    assert re.findall(r'name="team"\s+value="([\w-]+)"', text) == ["elsewhere", "payments"]
    client.post(reverse("team"), {"team": "elsewhere"})
    assert re.search(r'value="elsewhere"\s+aria-current="true"', client.get(reverse("rail")).content.decode())
    assert 'href="/teams/elsewhere/"' in client.get(reverse("rail")).content.decode()
