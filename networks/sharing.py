"""Who sees a network, who may attach to it, and who may change it: a network may be shared with other teams than its own."""

from django.db.models import Q, QuerySet

from networks.models import Network
from networks.states import Desired
from opsweb.core import access
from opsweb.core.access import Actor, Scope
from opsweb.core.errors import Forbidden, Refusal


def visible(actor: Actor) -> QuerySet[Network]:
    """Networks of the actor's teams, and those that are shared with them."""
    if Scope.READ not in actor.scopes:
        return Network.objects.none()
    return Network.objects.all() if actor.superuser else Network.objects.filter(_of(list(actor.roles)))


def usable_by(team_id: int) -> QuerySet[Network]:
    """Networks that instances of the team may be attached to."""
    return Network.objects.filter(_of([team_id]), desired=Desired.PRESENT)


def _of(teams: list[int]) -> Q:
    shared = Network.shared_with.through.objects.filter(team__in=teams).values("network")
    return Q(team__in=teams) | Q(pk__in=shared)


def owns(actor: Actor, team_id: int) -> bool:
    """Whether what the team has is the actor's to see, be it shared or not."""
    return actor.superuser or team_id in actor.roles


def binds(network: Network, team_id: int) -> bool:
    """Whether the network's rules are not the team's to write, so that no rule of its instances lifts them.

    An uplink's are the panel's admins', whichever team has it.
    """
    return network.mode == Network.Mode.UPLINK or network.team_id != team_id


def refuse_users(actor: Actor, network: Network) -> None:
    """Who sees it only because it is shared is told that it is not theirs to change. Raises: Forbidden.

    A stranger passes, for `access.require` to answer as if there were nothing (INV-15).
    """
    if actor.superuser:
        return
    if network.team_id not in actor.roles and visible(actor).filter(pk=network.pk).exists():
        raise Forbidden(f"Network {network.name} is another team's: it is yours to use, not to change.")
    if network.team_id in actor.roles and network.mode == Network.Mode.UPLINK:
        raise Forbidden("An uplink is an adapter of the host: only an admin of the panel may change it.")


def refusal(actor: Actor, verb: str, network: Network) -> str:
    """Why the actor, who sees the network, may not do that with it; "" when they may."""
    try:
        refuse_users(actor, network)
    except Refusal as error:
        return error.message
    return access.refusal(actor, f"network.{verb}", network.team_id)
