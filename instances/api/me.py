"""GET me/: who the caller is, in which teams, with how much room left. The `opsweb` command asks it first."""

from django.conf import settings
from django.http import HttpRequest
from ninja import Router
from pydantic import BaseModel

from instances.services.capacity import used_by_teams
from networks.services.quota import used_by_teams as networks_used_by_teams
from opsweb.teams.api.auth import caller
from opsweb.teams.chosen import choose, teams_of
from opsweb.teams.models import Team
from opsweb.teams.services import Usage

router = Router()


class Amounts(BaseModel):
    """Of what a quota counts; addresses are NICs on networks."""

    instances: int
    vcpus: int
    memory_mib: int
    networks: int
    addresses: int
    forwards: int
    rules: int


class MyTeam(BaseModel):
    """A team that the caller may look into; `role` is "" for a superuser who is no member."""

    name: str
    role: str
    quota: Amounts
    used: Amounts


class Me(BaseModel):
    """The caller."""

    user: str
    superuser: bool
    scopes: list[str]
    teams: list[MyTeam]
    default_team: str | None
    version: str


@router.get("", response=Me, url_name="get_me")
def get_me(request: HttpRequest) -> Me:
    """Who you are and what you have."""
    actor = caller(request)
    teams = teams_of(actor)
    used, on_networks = used_by_teams(teams), networks_used_by_teams([team.pk for team in teams])
    default = choose(teams, "", actor)
    return Me(
        user=actor.name,
        superuser=actor.superuser,
        scopes=sorted(actor.scopes),
        teams=[
            _team(team, actor.roles[team.pk].name.lower() if team.pk in actor.roles else "", used[team.pk] + on_networks[team.pk])
            for team in teams
        ],
        default_team=default.name if default else None,
        version=settings.VERSION,
    )


def _team(team: Team, role: str, used: Usage) -> MyTeam:
    quota = Amounts(**{name: getattr(team, f"quota_{name}") for name in Amounts.model_fields})
    return MyTeam(name=team.name, role=role, quota=quota, used=Amounts(**vars(used)))
