"""A network's page with its tabs, and its verbs."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from networks.fabric.base import FabricError
from networks.models import Network, Nic, PortForward
from networks.plans import network_plan
from networks.services import networks as services
from networks.sharing import owns, refusal, visible
from networks.shown import active_operations, unmended
from networks.views import editor
from networks.views.addresses import holders, strange_leases, strip
from networks.views.present import Shown, with_relations
from networks.views.topology import topology
from opsweb.core import access
from opsweb.core.access import Actor
from opsweb.core.errors import NotFound, Refusal
from opsweb.core.models import Operation
from opsweb.teams import pages
from opsweb.teams.actors import actor_of
from opsweb.teams.chosen import team_of
from opsweb.teams.feed import entries_of

TABS = {
    "overview": "Topology",
    "addresses": "Addresses",
    "forwards": "Forwards",
    "rules": "Rules",
    "names": "Names",
    "health": "Health",
    "activity": "Activity",
}
OWNERS = ("rules", "health")  # tabs of those whose network it is (INV-15)
ENTRIES = 100
DONE = 30


def detail(request: HttpRequest, network_id: UUID) -> HttpResponse:
    """One page; `?tab=` says which part of it."""
    actor = actor_of(request)
    return tab_page(request, fetch(actor, network_id), request.GET.get("tab", "overview"), actor)


def fetch(actor: Actor, network_id: UUID) -> Network:
    """The network with all its page needs. Raises: NotFound."""
    try:
        return with_relations(visible(actor)).get(pk=network_id)
    except Network.DoesNotExist as error:
        raise NotFound from error


def tab_page(request: HttpRequest, network: Network, tab: str, actor: Actor, *, status: int = 200, **more: Any) -> HttpResponse:
    """The page at one of its tabs; `more` is what a refused form brings along."""
    is_own = owns(actor, network.team_id)
    tabs = {key: label for key, label in TABS.items() if is_own or key not in OWNERS}
    if tab not in tabs:
        raise Http404
    shown = Shown(network, active_operations([network]).get(network.pk), team_of(request))
    context = {
        "shown": shown,
        "network": network,
        "tab": tab,
        "tabs": tabs,
        "is_own": is_own,
        "unmended": unmended(network) if is_own else [],
        "why_not": {verb: why_not(actor, verb, network) for verb in ("edit", "repair", "delete", "rules")},
        **TAB_CONTEXT[tab](network, actor),
        **more,
    }
    return pages.page(request, "networks/detail.html", context, status=status)


def why_not(actor: Actor, verb: str, network: Network) -> str:
    """The sentence why a button can't be pressed; "" when it can."""
    return refusal(actor, verb, network) or (in_use(network) if verb == "delete" else "")


def in_use(network: Network) -> str:
    """Why it can't be deleted: instances are on it."""
    count = network.instance_count  # type: ignore[attr-defined]  # annotated by with_relations
    if not count:
        return ""
    return (
        "An instance is on it. Delete it or take it off first."
        if count == 1
        else f"{count} instances are on it. Delete or take off those first."
    )


def _nics(network: Network) -> list[Nic]:
    return list(network.nics.select_related("instance"))


def _overview(network: Network, actor: Actor) -> dict[str, Any]:
    found = holders(network, _nics(network), actor)
    return {"topology": topology(network, found), "strip": strip(network, found)}


def _addresses(network: Network, actor: Actor) -> dict[str, Any]:
    found = holders(network, _nics(network), actor)
    return {"holders": found, "strip": strip(network, found), "strange": strange_leases(network, found)}


def _forwards(network: Network, actor: Actor) -> dict[str, Any]:
    rows = PortForward.objects.filter(nic__network=network).select_related("nic__instance").order_by("host_port", "protocol")
    return {"forwards": [row for row in rows if not access.refusal(actor, "instance.view", row.team_id)]}


def _rules(network: Network, actor: Actor) -> dict[str, Any]:
    is_uplink = network.mode == Network.Mode.UPLINK
    return {**editor.editor(editor.of_network(network), network.team_id, by_name=not is_uplink), **editor.urls(network)}


def _names(network: Network, actor: Actor) -> dict[str, Any]:
    found = {holder.nic.address4: holder for holder in holders(network, _nics(network), actor)}
    try:
        named = [(nic.name, found[nic.address4]) for nic in network_plan(network).nics if found[nic.address4].instance_id]
    except FabricError:  # the head of the page says why it is not up
        named = []
    return {"named": named}


def _health(network: Network, actor: Actor) -> dict[str, Any]:
    return {"drift": [{**item, "at": datetime.fromisoformat(item["at"])} for item in network.drift]}


def _activity(network: Network, actor: Actor) -> dict[str, Any]:
    mine = Operation.objects.filter(kind="network", target_id=network.pk)
    return {"entries": entries_of(actor, target=network.pk)[:ENTRIES], "done": list(access.visible(actor, mine)[:DONE])}


TAB_CONTEXT: dict[str, Callable[[Network, Actor], dict[str, Any]]] = {
    "overview": _overview,
    "addresses": _addresses,
    "forwards": _forwards,
    "rules": _rules,
    "names": _names,
    "health": _health,
    "activity": _activity,
}


@require_POST
def verb(request: HttpRequest, network_id: UUID, name: str) -> HttpResponse:
    """Repair or delete; the page itself changes by the event that follows."""
    actor = actor_of(request)
    network = fetch(actor, network_id)
    here = reverse("networks:detail", args=[network_id])
    try:
        return VERBS[name](request, network, actor, here)
    except KeyError as error:
        raise Http404 from error
    except Refusal as error:
        return pages.refused(request, error, here)


def _repair(request: HttpRequest, network: Network, actor: Actor, here: str) -> HttpResponse:
    services.repair(network, actor=actor)
    return pages.done(request, f"Repairing {network.name}.", here)


def _delete(request: HttpRequest, network: Network, actor: Actor, here: str) -> HttpResponse:
    services.delete(network, actor=actor)
    return pages.moved(request, f"Deleting {network.name}.", reverse("networks:list"))


VERBS = {"repair": _repair, "delete": _delete}
