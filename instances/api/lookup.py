"""Finds what a request names, only among what the caller may see: an image by id or name, an upload. Called by the routes."""

from uuid import UUID

from instances.models import Image, Upload
from opsweb.core import access
from opsweb.core.access import Actor
from opsweb.core.errors import NotFound
from opsweb.teams.models import Team


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
