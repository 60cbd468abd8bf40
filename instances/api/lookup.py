"""Finds what a request names, only among what the caller may see: a team, an image by id or name, an upload. Called by the routes."""

from uuid import UUID

from instances.models import Image, Upload
from opsweb.core import access
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


def image_called(actor: Actor, team: Team, reference: str) -> Image:
    """The team's image with that id or name. Raises: NotFound."""
    images = Image.objects.filter(team=team, is_wanted=True).select_related("host")
    try:
        return access.get_or_404(actor, images, pk=UUID(reference))
    except (ValueError, NotFound):  # a name may look like an id
        return access.get_or_404(actor, images, name=reference)


def upload_of(actor: Actor, team: Team, identifier: UUID | None) -> Upload | None:
    """The team's upload, None for None. Raises: NotFound."""
    return access.get_or_404(actor, Upload.objects.filter(team=team), pk=identifier) if identifier else None
