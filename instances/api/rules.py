"""instances/{id}/rules/: what may pass, before the rules of its own team's networks.

What a network of others, or an uplink, denies stays denied. One list, replaced as a whole: an invalid one changes nothing.
"""

from uuid import UUID

from django.http import HttpRequest
from ninja import Router

from instances.models import Instance
from networks.api.answers import RulesOut, rules_out
from networks.api.schemas import RulesIn
from networks.services import rules
from opsweb.core import access
from opsweb.teams.api.auth import caller

router = Router()


@router.get("{uuid:instance_id}/rules/", response=RulesOut, url_name="get_instance_rules")
def get_instance_rules(request: HttpRequest, instance_id: UUID) -> RulesOut:
    """In their order; the first that fits decides."""
    return rules_out(_fetch(request, instance_id).rules.all())


@router.put("{uuid:instance_id}/rules/", response=RulesOut, url_name="set_instance_rules")
def set_instance_rules(request: HttpRequest, instance_id: UUID, payload: RulesIn) -> RulesOut:
    """Make them exactly these; a running instance feels it within a second."""
    instance = _fetch(request, instance_id)
    rules.set_rules(instance, payload.specs(), actor=caller(request))
    return rules_out(instance.rules.all())


def _fetch(request: HttpRequest, instance_id: UUID) -> Instance:
    """Raises: NotFound."""
    return access.get_or_404(caller(request), Instance.objects.select_related("host"), pk=instance_id)
