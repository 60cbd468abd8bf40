"""A network's rules: saving what the editor holds, and showing what that would change."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from networks.rule_rows import rows_of_post
from networks.services import rules as services
from networks.sharing import owns
from networks.views import detail, editor
from opsweb.core.errors import Refusal
from opsweb.teams.actors import actor_of


@require_POST
def save(request: HttpRequest, network_id: UUID) -> HttpResponse:
    """Make the network's rules exactly what the editor holds."""
    actor = actor_of(request)
    network = detail.fetch(actor, network_id)
    typed = rows_of_post(request.POST)
    try:
        services.set_rules(network, [row.spec() for row in typed], actor=actor)
    except Refusal as error:
        if not owns(actor, network.team_id):
            raise  # the tab is its owner's to see
        more: dict[str, Any] = {"rows": typed, "error": error.message}
        return detail.tab_page(request, network, "rules", actor, status=error.status, **more)
    return redirect(reverse("networks:detail", args=[network_id]) + "?tab=rules&saved=1")


@require_POST
def plan(request: HttpRequest, network_id: UUID) -> HttpResponse:
    """What the editor's rules would change, were they saved now."""
    actor = actor_of(request)
    network = detail.fetch(actor, network_id)
    return editor.answer(
        request, network.host, lambda: editor.of_network(network), lambda specs: services.set_rules(network, specs, actor=actor)
    )
