"""A team's page: who is in it with which role, what is left of its quota; and the buttons on it."""

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from opsweb.core import access
from opsweb.core.errors import NotFound, Refusal
from opsweb.teams import invitations, members, pages
from opsweb.teams.actors import actor_of
from opsweb.teams.chosen import teams_of_request
from opsweb.teams.forms import InviteForm
from opsweb.teams.models import Membership, Team


def fetch(request: HttpRequest, name: str) -> Team:
    """The team of that name, that the person may look into. Raises: NotFound, the same for “not there” and “not yours”."""
    actor = actor_of(request)
    team = next((team for team in teams_of_request(request) if team.name == name), None)
    if team is None and actor.superuser:
        team = Team.objects.filter(name=name).first()  # an archived one
    if team is None:
        raise NotFound
    access.require(actor, "team.view", team.pk)
    return team


def page_of(team: Team) -> str:
    """Where it is."""
    return reverse("teams:detail", args=[team.name])


@require_safe
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """Everybody in it, by name, and its quota."""
    team = fetch(request, name)
    if team.archived_at:
        return pages.page(request, "teams/archived.html", {"team": team})
    pages.follow_team(request, team)
    return pages.page(request, "teams/detail.html", context_of(request, team))


def context_of(request: HttpRequest, team: Team) -> dict[str, object]:
    """What the page shows."""
    actor = actor_of(request)
    why_not = access.refusal(actor, "team.members", team.pk)
    rows = list(Membership.objects.filter(team=team).select_related("user").order_by("user__username"))
    return {
        "team": team,
        "rows": rows,
        "roles": Membership.RoleName.values,
        "why_not": why_not,
        "is_member": team.pk in actor.roles,
        "invite_form": InviteForm(),
        "invitations": [] if why_not else list(invitations.open_ones().filter(team=team)),
    }


@require_POST
def change_role(request: HttpRequest, name: str, user_id: int) -> HttpResponse:
    """Give a member another role."""
    team, actor = fetch(request, name), actor_of(request)
    try:
        member = members.change_role(team, user_id, request.POST.get("role", ""), actor=actor)
    except Refusal as error:
        return pages.refused(request, error, page_of(team))
    return pages.done(request, f"{member.user} is {member.role} now.", page_of(team))


@require_POST
def remove(request: HttpRequest, name: str, user_id: int) -> HttpResponse:
    """Take a member out; who takes out themselves has left, and has no page any more."""
    team, actor = fetch(request, name), actor_of(request)
    try:
        member = members.remove(team, user_id, actor=actor)
    except Refusal as error:
        return pages.refused(request, error, page_of(team))
    if user_id == actor.user_id and not actor.superuser:
        return pages.moved(request, f"You left {team}.", reverse("dashboard"))
    return pages.done(request, f"{member.user} is not in {team} any more.", page_of(team))


@require_POST
def leave(request: HttpRequest, name: str) -> HttpResponse:
    """Go oneself."""
    team, actor = fetch(request, name), actor_of(request)
    try:
        members.leave(team, actor=actor)
    except Refusal as error:
        return pages.refused(request, error, page_of(team))
    return pages.moved(request, f"You left {team}.", reverse("dashboard"))
