"""Teams for the panel's admins: the list, a new one, another quota, put away and brought back."""

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from opsweb.core import access
from opsweb.core.errors import Refusal
from opsweb.teams import lifecycle, pages
from opsweb.teams.actors import actor_of
from opsweb.teams.chosen import teams_of_request
from opsweb.teams.forms import QuotaForm, TeamForm
from opsweb.teams.models import Team
from opsweb.teams.views.team import fetch, page_of

FORM_METHODS = ["GET", "HEAD", "POST"]


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The teams that the person may look into, with how many people are in each; for a superuser the archived ones too."""
    actor = actor_of(request)
    seen = [team.pk for team in teams_of_request(request)] + list(actor.archived)
    rows = Team.objects.filter(pk__in=seen).annotate(people=Count("memberships")).order_by("name")
    return pages.page(request, "teams/list.html", {"rows": rows, "why_not": access.refusal(actor, "team.create", None)})


@require_http_methods(FORM_METHODS)
def create(request: HttpRequest) -> HttpResponse:
    """Show the empty form; on POST make the team."""
    actor = actor_of(request)
    access.require(actor, "team.create", None)
    form = TeamForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        values = dict(form.cleaned_data)
        try:
            team = lifecycle.create(values.pop("name"), values, actor=actor)
        except Refusal as error:
            form.add_error(None, error.message)
        else:
            return redirect(page_of(team))
    return _form(request, form, None)


@require_http_methods(FORM_METHODS)
def quota(request: HttpRequest, name: str) -> HttpResponse:
    """Show the limits; on POST change them."""
    team, actor = fetch(request, name), actor_of(request)
    access.require(actor, "team.quota", team.pk)
    pages.follow_team(request, team)
    form = QuotaForm(request.POST or None, instance=Team.objects.get(pk=team.pk))  # a row of its own: the form writes into it
    if request.method == "POST" and form.is_valid():
        try:
            lifecycle.set_quotas(team, form.cleaned_data, actor=actor)
        except Refusal as error:
            form.add_error(None, error.message)
        else:
            return redirect(page_of(team))
    return _form(request, form, team)


@require_POST
def archive(request: HttpRequest, name: str) -> HttpResponse:
    """Put it away."""
    team = fetch(request, name)
    try:
        lifecycle.archive(team, actor=actor_of(request))
    except Refusal as error:
        return pages.refused(request, error, page_of(team))
    return pages.moved(request, f"{team} is archived.", reverse("teams:list"))


@require_POST
def restore(request: HttpRequest, name: str) -> HttpResponse:
    """Bring it back."""
    team = fetch(request, name)
    try:
        lifecycle.restore(team, actor=actor_of(request))
    except Refusal as error:
        return pages.refused(request, error, page_of(team))
    return pages.moved(request, f"{team} is there again.", page_of(team))


def _form(request: HttpRequest, form: QuotaForm, team: Team | None) -> HttpResponse:
    return render(request, "teams/form.html", {"form": form, "team": team}, status=422 if request.method == "POST" else 200)
