"""The list of networks: the team's own and those shared with it."""

from django.http import HttpRequest, HttpResponse

from networks.views.present import of_team, shown_rows, with_relations
from opsweb.core import access
from opsweb.teams.actors import actor_of
from opsweb.teams.chosen import team_of
from opsweb.teams.pages import page

MOST = 200  # a quota is 5; what is shared comes on top


def index(request: HttpRequest) -> HttpResponse:
    """The list, or only its live part."""
    actor, team = actor_of(request), team_of(request)
    rows = with_relations(of_team(actor, team)).order_by("name")[:MOST]
    context = {
        "rows": shown_rows(rows, team),
        "why_not": access.refusal(actor, "network.create", team.pk)
        if team
        else "You are a member of no team. An admin can add you to one.",
    }
    return page(request, "networks/list.html", context)
