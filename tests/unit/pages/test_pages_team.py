"""Which team a page is about: named in what it fetches again, and that of the thing it shows; and links that lead somewhere."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from instances.models import Instance
from opsweb.core import audit
from opsweb.core.access import SYSTEM
from opsweb.core.models import Operation
from opsweb.teams.models import Team
from tests.unit.conftest import MakeInstance

SignedIn = Callable[[User], Client]


@pytest.mark.parametrize("name", ["dashboard", "instances:list", "images:list", "activity"])
def test_a_live_page_names_its_team(signed_in: SignedIn, olga: User, team: Team, name: str) -> None:
    """Another tab may look at another team meanwhile; this one's rows stay this team's."""
    path = reverse(name)
    assert f'data-url="{path}?team={team.name}"' in signed_in(olga).get(path).content.decode()


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
