"""An instance's page with its tabs, its verbs, and its edit form."""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from instances import as_code
from instances.forms import POLICIES, InstanceForm, initial_of, rows_of_instance
from instances.models import Instance
from instances.services import create, power
from instances.shown import last_starts
from instances.states import VERBS, Verb
from instances.views import network
from instances.views.present import Shown, bars, with_relations
from networks.nic_rows import choices as nic_choices
from networks.nic_rows import rows_of_nics
from networks.services.forwards import published
from opsweb.core import access, operations
from opsweb.core.access import Actor
from opsweb.core.errors import Refusal
from opsweb.core.models import Operation
from opsweb.teams import pages
from opsweb.teams.actors import actor_of
from opsweb.teams.feed import entries_of, mark_dead

TABS = {"overview": "Overview", "console": "Console", "network": "Network", "activity": "Activity", "config": "Config"}
ENTRIES = {"overview": 6, "activity": 100}


def detail(request: HttpRequest, instance_id: UUID) -> HttpResponse:
    """One page; `?tab=` says which part of it."""
    actor = actor_of(request)
    instance = fetch(actor, instance_id)
    pages.follow_team(request, instance.team)
    return _page(request, instance, actor)


def fetch(actor: Actor, instance_id: UUID) -> Instance:
    """The instance with all its page needs. Raises: NotFound."""
    return access.get_or_404(actor, with_relations(Instance.objects.all()), pk=instance_id)


def _page(request: HttpRequest, instance: Instance, actor: Actor, form: InstanceForm | None = None) -> HttpResponse:
    return tab_page(request, instance, actor, "config" if form else request.GET.get("tab", "overview"), form, status=422 if form else 200)


def tab_page(
    request: HttpRequest, instance: Instance, actor: Actor, tab: str, form: InstanceForm | None = None, *, status: int, **more: Any
) -> HttpResponse:
    """The page at one of its tabs; `more` is what a refused form of that tab brings along."""
    if tab not in TABS:
        raise Http404
    shown = Shown(instance, operations.active("instance", instance.pk), actor)
    context = {"shown": shown, "instance": instance, "tab": tab, "tabs": TABS, **TAB_CONTEXT[tab](shown, form), **more}
    return pages.page(request, "instances/detail.html", context, status=status)


def _overview(shown: Shown, form: InstanceForm | None) -> dict[str, Any]:
    instance = shown.instance
    active = {instance.pk: shown.operation} if shown.operation else {}
    start = last_starts([instance], active).get(instance.pk)
    return {
        "bars": bars(instance, start),
        "policy": POLICIES[instance.restart_policy],
        "start": start,
        "entries": entries_of(shown.actor, target=instance.pk)[: ENTRIES["overview"]],
    }


def _console(shown: Shown, form: InstanceForm | None) -> dict[str, Any]:
    return {}


def _activity(shown: Shown, form: InstanceForm | None) -> dict[str, Any]:
    mine = Operation.objects.filter(kind="instance", target_id=shown.instance.pk)
    return {"entries": entries_of(shown.actor, target=shown.instance.pk)[: ENTRIES["activity"]], "done": mark_dead(mine[:30])}


def _network(shown: Shown, form: InstanceForm | None) -> dict[str, Any]:
    return network.tab(shown)


def _config(shown: Shown, form: InstanceForm | None) -> dict[str, Any]:
    instance = shown.instance
    nics = instance.nics.all()
    return {
        "form": form or InstanceForm(initial=initial_of(instance), port_rows=rows_of_instance(instance), nic_rows=rows_of_nics(nics)),
        "nic_choices": nic_choices(instance.team_id),
        "published": published(instance.host, instance.team_id),
        "why_not": access.refusal(shown.actor, "instance.edit", instance.team_id),
        "config_json": as_code.config_json(instance, shown.forwards, shown.nics),
        "create_line": as_code.create_line(instance, shown.forwards, shown.nics),
    }


TAB_CONTEXT = {"overview": _overview, "console": _console, "network": _network, "activity": _activity, "config": _config}


@require_POST
def edit(request: HttpRequest, instance_id: UUID) -> HttpResponse:
    """Save the config tab's form."""
    actor = actor_of(request)
    instance = fetch(actor, instance_id)
    form = InstanceForm(request.POST)
    if form.is_valid():
        try:
            nics = form.nics(instance.team_id, instance.nics.all())
            create.edit(instance, form.spec(blank_is_default=False, nics=nics), actor=actor, name=form.cleaned_data["name"])
        except Refusal as error:
            form.add_refusal(error)
        else:
            return redirect(reverse("instances:detail", args=[instance_id]) + "?tab=config&saved=1")
    return _page(request, instance, actor, form)


@require_POST
def verb(request: HttpRequest, instance_id: UUID, name: str) -> HttpResponse:
    """Ask for a verb; the page itself changes by the event that follows."""
    if name not in VERBS:
        raise Http404
    actor = actor_of(request)
    instance = fetch(actor, instance_id)
    here = reverse("instances:detail", args=[instance_id])
    try:
        power.request(Verb(name), instance, actor=actor)
    except Refusal as error:
        return pages.refused(request, error, here)
    text = f"{VERBS[Verb(name)].doing.rstrip('…')} {instance.name}."
    if name == Verb.DELETE:
        return pages.moved(request, text, reverse("instances:list"))
    return pages.done(request, text, here)
