"""Making and changing a network: the form, and what a save would change, shown before it."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from networks.addressing import first_free_subnet
from networks.change import Section, difference
from networks.dry_run import undone
from networks.fabric.base import FabricError, NetworkPlan
from networks.forms import NetworkForm, initial_of
from networks.models import Network
from networks.seen import seen_plan
from networks.services import networks as services
from networks.services import subnets
from networks.views.detail import fetch, why_not
from opsweb.core import access
from opsweb.core.access import Actor
from opsweb.core.errors import NotFound, Refusal
from opsweb.core.models import Host
from opsweb.environment import env
from opsweb.teams.actors import actor_of
from opsweb.teams.chosen import team_of
from opsweb.teams.models import Team

NO_TEAM = "You are a member of no team. An admin can add you to one."


def create(request: HttpRequest) -> HttpResponse:
    """Show the form with what is free; on POST make the network and go to its page."""
    actor, team = actor_of(request), team_of(request)
    if team is None:
        return _page(request, _form(None, actor), why=NO_TEAM)
    why = access.refusal(actor, "network.create", team.pk)
    if request.method != "POST":
        return _page(request, _form(None, actor, initial=_proposal(team)), why=why)
    form = _form(request, actor)
    if form.is_valid():
        try:
            network, _ = services.create(team, form.spec(), actor=actor)
        except Refusal as error:
            form.add_refusal(error)
        else:
            return redirect("networks:detail", network_id=network.pk)
    return _page(request, form, why=why, status=422)


def _proposal(team: Team) -> dict[str, Any]:
    """The next free name and subnet."""
    host = Host.objects.get(name=env.host)
    met = [cidr for cidr, _ in subnets.neighbours(Network(team=team, host=host), host)]
    subnet = first_free_subnet(met)
    return {"name": services.free_name(team), "cidr4": f"{subnet.gateway}/{subnet.network.prefixlen}"}


def edit(request: HttpRequest, network_id: UUID) -> HttpResponse:
    """Show the form with what is so; on POST change it and go to its page."""
    actor = actor_of(request)
    network = fetch(actor, network_id)
    why = why_not(actor, "edit", network)
    if request.method != "POST":
        return _page(request, _form(None, actor, initial=initial_of(network)), network, why=why)
    form = _form(request, actor)
    if form.is_valid():
        try:
            services.edit(network, form.spec(), actor=actor)
        except Refusal as error:
            form.add_refusal(error)
        else:
            return redirect("networks:detail", network_id=network.pk)
    return _page(request, form, fetch(actor, network_id), why=why, status=422)


def _form(request: HttpRequest | None, actor: Actor, **kwargs: Any) -> NetworkForm:
    teams = list(Team.objects.order_by("name")) if actor.superuser else []
    return NetworkForm(request.POST if request else None, teams=teams, superuser=actor.superuser, **kwargs)


def _page(request: HttpRequest, form: NetworkForm, network: Network | None = None, *, why: str, status: int = 200) -> HttpResponse:
    host = network.host if network else Host.objects.filter(name=env.host).first()
    facts = host.network_facts if host else {}
    context = {
        "form": form,
        "network": network,
        "why_not": why,
        "adapters": [adapter.get("name", "") for adapter in facts.get("adapters", [])],
        "platform": facts.get("platform", ""),
    }
    return render(request, "networks/form.html", context, status=status)


@require_POST
def plan_of_new(request: HttpRequest) -> HttpResponse:
    """What the form would change, were it saved now."""
    actor, team = actor_of(request), team_of(request)
    if team is None:
        raise NotFound
    form = _form(request, actor)
    return _plan(request, form, lambda: services.create(team, form.spec(), actor=actor)[0], None)


@require_POST
def plan_of_edit(request: HttpRequest, network_id: UUID) -> HttpResponse:
    """The same of a network that is there."""
    actor = actor_of(request)
    network = fetch(actor, network_id)
    form = _form(request, actor)
    return _plan(request, form, lambda: services.edit(network, form.spec(), actor=actor)[0], _so_far(network, actor))


def _so_far(network: Network, actor: Actor) -> NetworkPlan | None:
    """What it is now; None for a row that can't be, which this very form may mend."""
    try:
        return seen_plan(network, actor)
    except FabricError:
        return None


def _plan(request: HttpRequest, form: NetworkForm, save: Callable[[], Network], before: NetworkPlan | None) -> HttpResponse:
    after: NetworkPlan | None = None
    if form.is_valid():
        try:
            with undone():
                after = seen_plan(save(), actor_of(request))
        except Refusal as error:
            form.add_refusal(error)
        except FabricError as error:
            form.add_error(None, error.message)
    sections: list[Section] = difference(before, after) if after else []
    return render(request, "networks/_plan.html", {"form": form, "sections": sections, "is_new": before is None})
