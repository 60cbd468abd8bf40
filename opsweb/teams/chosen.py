"""Which team a page or a request is about. Called by views, the API and the context processor."""

from django.http import HttpRequest

from opsweb.core.access import Actor
from opsweb.core.errors import NotFound
from opsweb.teams.actors import actor_of
from opsweb.teams.models import Team

DEFAULT_TEAM = "demo"  # a superuser's, who is a member of none
SESSION_KEY = "team"
HEADER = "X-Team"


def teams_of(actor: Actor) -> list[Team]:
    """Every team the actor may look into and work in, by name. One query."""
    teams = Team.objects.filter(archived_at=None).order_by("name")
    return list(teams if actor.superuser else teams.filter(pk__in=list(actor.roles)))


def choose(teams: list[Team], wanted: str, actor: Actor) -> Team | None:
    """`wanted` when it is one of them, else the first that the actor is a member of, else the default; None without any."""
    by_name = {team.name: team for team in teams}
    own = [team for team in teams if team.pk in actor.roles]
    return by_name.get(wanted) or next(iter(own or [by_name[DEFAULT_TEAM]] if DEFAULT_TEAM in by_name else own or teams), None)


def teams_of_request(request: HttpRequest) -> list[Team]:
    """`teams_of`, asked once for each request."""
    teams: list[Team] | None = getattr(request, "opsweb_teams", None)
    if teams is None:
        teams = teams_of(actor_of(request))
        request.opsweb_teams = teams  # type: ignore[attr-defined]
    return teams


def follow(request: HttpRequest, team: Team) -> None:
    """Look at `team` from now on, because the page shows something of it."""
    if request.session.get(SESSION_KEY) != team.name:
        request.session[SESSION_KEY] = team.name


def team_of(request: HttpRequest) -> Team | None:
    """The page's team: `?team=` of the URL, else the one that an open page names when it fetches a part of itself (another tab may look
    at another team meanwhile), else the last one chosen. Raises: NotFound for a team that is not there or not theirs.
    """
    teams = teams_of_request(request)
    named = request.GET.get("team", "") or request.headers.get(HEADER, "")
    if named and named not in {team.name for team in teams}:
        raise NotFound
    return choose(teams, named or request.session.get(SESSION_KEY, ""), actor_of(request))
