"""The first page and the rail's live part."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from instances.models import Instance
from instances.views.present import shown_rows, with_relations
from opsweb.core import access
from opsweb.core.models import Host
from opsweb.teams.actors import actor_of
from opsweb.teams.chosen import team_of
from opsweb.teams.feed import entries_of
from opsweb.teams.pages import page

CARDS = 12
ENTRIES = 8


def dashboard(request: HttpRequest) -> HttpResponse:
    """What runs, what is left, what happened."""
    actor, team = actor_of(request), team_of(request)
    mine = access.visible(actor, Instance.objects.filter(team=team))
    rows = shown_rows(with_relations(mine).order_by("-accepted_at", "name")[: CARDS + 1], actor)
    context = {
        "rows": rows[:CARDS],
        "entries": entries_of(actor, team=team)[:ENTRIES],
        "hosts": list(Host.objects.order_by("name")),
        "is_more": len(rows) > CARDS,
    }
    return page(request, "dashboard/page.html", context)


def rail(request: HttpRequest) -> HttpResponse:
    """The rail again, for live.js: counts and quota change under an open page."""
    return render(request, "layout/_rail.html", {"section": request.GET.get("section", "")})
