"""Finds the networks that a request names, only among what the caller may see or use. Called by the routes of both apps."""

from uuid import UUID

from networks import sharing
from networks.api.answers import with_relations
from networks.models import Network
from opsweb.core.access import Actor
from opsweb.core.errors import NotFound
from opsweb.teams.models import Team


def visible_network(actor: Actor, identifier: UUID) -> Network:
    """With all that an answer needs. Raises: NotFound, the same for “not there” and “not yours” (INV-15)."""
    found = with_relations(sharing.visible(actor)).filter(pk=identifier).first()
    if found is None:
        raise NotFound
    return found


def usable_network(team: Team, reference: str) -> Network:
    """The network with that id or name that the team may attach to, its own before a shared one. Raises: NotFound."""
    rows = sorted(sharing.usable_by(team.pk), key=lambda network: network.team_id != team.pk)
    for network in rows:
        if reference in (network.name, str(network.pk)):
            return network
    raise NotFound(f"Team {team.name} has no network called {reference[:60]}, and none of that name is shared with it.")
