"""Groups of instances: the list, and the form that makes, changes and shows one."""

from typing import Any
from uuid import UUID

from django.apps import apps
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from networks.forms import GroupForm
from networks.models import Group, Rule
from networks.services import groups as services
from networks.services.rules import sentence
from networks.views.form import NO_TEAM
from opsweb.core import access
from opsweb.core.access import Actor
from opsweb.core.errors import Refusal
from opsweb.teams import pages
from opsweb.teams.actors import actor_of
from opsweb.teams.chosen import team_of

RULES = Subquery(Rule.objects.filter(peer_group=OuterRef("pk")).order_by().values("peer_group").annotate(n=Count("pk")).values("n"))


def index(request: HttpRequest) -> HttpResponse:
    """The team's groups, with their members and how many rules speak of each."""
    actor, team = actor_of(request), team_of(request)
    rows = access.visible(actor, Group.objects.filter(team=team)).prefetch_related("instances").annotate(rule_count=RULES)
    why_not = access.refusal(actor, "group.create", team.pk) if team else NO_TEAM
    return pages.page(request, "networks/groups.html", {"rows": rows.order_by("name"), "why_not": why_not})


def create(request: HttpRequest) -> HttpResponse:
    """Show the empty form; on POST make the group."""
    actor, team = actor_of(request), team_of(request)
    if team is None:
        return _page(request, GroupForm(), None, NO_TEAM)
    form = GroupForm(request.POST or None, members=_instances(team.pk))
    if request.method == "POST" and form.is_valid():
        try:
            services.create(team, form.cleaned_data["name"], form.cleaned_data["instances"], actor=actor)
        except Refusal as error:
            form.add_refusal(error)
        else:
            return redirect("networks:groups")
    return _page(request, form, None, access.refusal(actor, "group.create", team.pk))


def edit(request: HttpRequest, group_id: UUID) -> HttpResponse:
    """Show a group; on POST give it another name and other members."""
    actor = actor_of(request)
    group = _fetch(actor, group_id)
    pages.follow_team(request, group.team)
    chosen = [str(instance.pk) for instance in group.instances.all()]
    form = GroupForm(request.POST or None, initial={"name": group.name, "instances": chosen}, members=_instances(group.team_id))
    if request.method == "POST" and form.is_valid():
        try:
            services.edit(group, actor=actor, name=form.cleaned_data["name"], instances=form.cleaned_data["instances"])
        except Refusal as error:
            form.add_refusal(error)
        else:
            return redirect("networks:groups")
    return _page(request, form, _fetch(actor, group_id), access.refusal(actor, "group.edit", group.team_id))


@require_POST
def delete(request: HttpRequest, group_id: UUID) -> HttpResponse:
    """Take a group away that no rule speaks of."""
    actor = actor_of(request)
    group = _fetch(actor, group_id)
    try:
        services.delete(group, actor=actor)
    except Refusal as error:
        return pages.refused(request, error, reverse("networks:group", args=[group_id]))
    return pages.moved(request, f"Deleted group {group.name}.", reverse("networks:groups"))


def _fetch(actor: Actor, group_id: UUID) -> Group:
    """Raises: NotFound."""
    return access.get_or_404(actor, Group.objects.select_related("team").prefetch_related("instances"), pk=group_id)


def _instances(team_id: int) -> QuerySet[Any]:
    """Who may be a member. The app of instances stands above this one."""
    return apps.get_model("instances", "Instance").objects.filter(team=team_id).order_by("name")


def _page(request: HttpRequest, form: GroupForm, group: Group | None, why_not: str) -> HttpResponse:
    context = {"form": form, "group": group, "why_not": why_not, "rules": _rules(group) if group else []}
    return render(request, "networks/group.html", context, status=422 if request.method == "POST" else 200)


def _rules(group: Group) -> list[dict[str, Any]]:
    """Those that speak of it: sentence, whose it is, where to."""
    rules = Rule.objects.filter(peer_group=group).select_related("peer_group", "peer_network", "network", "instance")
    return [{"text": sentence(rule), "owner": rule.network or rule.instance, "is_network": rule.network_id is not None} for rule in rules]
