"""An instance's rules: saving what the editor holds, and showing what that would change."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from instances.views import detail, network
from networks.rule_rows import rows_of_post
from networks.services import rules as services
from networks.views import editor
from opsweb.core.errors import Refusal
from opsweb.teams.actors import actor_of


@require_POST
def save(request: HttpRequest, instance_id: UUID) -> HttpResponse:
    """Make the instance's rules exactly what the editor holds."""
    actor = actor_of(request)
    instance = detail.fetch(actor, instance_id)
    typed = rows_of_post(request.POST)
    try:
        services.set_rules(instance, [row.spec() for row in typed], actor=actor)
    except Refusal as error:
        more: dict[str, Any] = {"rows": typed, "error": error.message}
        return detail.tab_page(request, instance, actor, "network", status=error.status, **more)
    return redirect(reverse("instances:detail", args=[instance_id]) + "?tab=network&saved=1")


@require_POST
def plan(request: HttpRequest, instance_id: UUID) -> HttpResponse:
    """What the editor's rules would change, were they saved now."""
    actor = actor_of(request)
    instance = detail.fetch(actor, instance_id)
    return editor.answer(
        request, instance.host, lambda: network.rules_of(instance), lambda specs: services.set_rules(instance, specs, actor=actor)
    )
