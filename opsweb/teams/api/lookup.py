"""Finds the team that a request names, only among those that the caller may see. Called by the routes."""

from opsweb.core.access import Actor
from opsweb.core.errors import Forbidden, NotFound
from opsweb.teams.chosen import choose, teams_of
from opsweb.teams.models import Team


def team_named(actor: Actor, name: str) -> Team:
    """The team called `name`, the caller's default one for "". Raises: NotFound; Forbidden to somebody without any team."""
    teams = teams_of(actor)
    if name:
        found = next((team for team in teams if team.name == name), None)
        if found is None:
            raise NotFound
        return found
    default = choose(teams, "", actor)
    if default is None:
        raise Forbidden("You are a member of no team. An admin can add you to one.")
    return default
