"""networks/{id}/rules/: what may pass. All rules of a network are one list, replaced as a whole: an invalid one changes nothing."""

from uuid import UUID

from django.http import HttpRequest
from ninja import Router

from networks.api.answers import RulesOut, rules_out
from networks.api.lookup import visible_network
from networks.api.schemas import RulesIn
from networks.models import Network
from networks.services import rules
from opsweb.core import access
from opsweb.teams.api.auth import caller

router = Router()


@router.get("{uuid:network_id}/rules/", response=RulesOut, url_name="get_network_rules")
def get_network_rules(request: HttpRequest, network_id: UUID) -> RulesOut:
    """In their order; the first that fits decides. An instance's come before, and lift nothing on an uplink or another team's network."""
    return rules_out(_own_network(request, network_id).rules.all())


@router.put("{uuid:network_id}/rules/", response=RulesOut, url_name="set_network_rules")
def set_network_rules(request: HttpRequest, network_id: UUID, payload: RulesIn) -> RulesOut:
    """Make them exactly these; running instances feel it within a second. An uplink's are for superusers, and name addresses alone."""
    network = visible_network(caller(request), network_id)
    rules.set_rules(network, payload.specs(), actor=caller(request))
    return rules_out(network.rules.all())


def _own_network(request: HttpRequest, network_id: UUID) -> Network:
    """Rules are the owner's to read, also of a network that others may use. Raises: NotFound."""
    return access.get_or_404(caller(request), Network.objects.all(), pk=network_id)
