"""networks/: read, make, change, repair, remove, wait for."""

from functools import partial
from typing import Annotated, Literal
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Status

from networks import sharing
from networks.api.answers import NetworkAccepted, NetworkOut, WaitedNetworkOut, network_out, networks_out, with_relations
from networks.api.lookup import visible_network
from networks.api.schemas import ActionIn, LinksIn, NetworkIn, NetworkPatch, NetworkQuery
from networks.models import Network
from networks.services import networks
from networks.states import Observed
from opsweb.core.access import Actor
from opsweb.core.models import Operation
from opsweb.teams.api.answers import OperationAccepted, Page, operation_out, point_to
from opsweb.teams.api.auth import caller
from opsweb.teams.api.lookup import team_named
from opsweb.teams.api.waiting import LONGEST, hold
from opsweb.teams.chosen import teams_of

router = Router()


@router.get("", response=Page[NetworkOut], url_name="list_networks")
def list_networks(request: HttpRequest, query: Annotated[NetworkQuery, Query()]) -> Page[NetworkOut]:
    """Networks by name: those of your teams, and those that are shared with them."""
    actor = caller(request)
    rows = sharing.visible(actor)
    rows = rows.filter(name=query.name) if query.name else rows
    rows = _of_team(rows, query.team, actor) if query.team else rows
    part = with_relations(rows).order_by("name", "pk")[query.offset : query.offset + query.limit]
    return Page(items=networks_out(part, actor), count=rows.count())


def _of_team(rows: QuerySet[Network], name: str, actor: Actor) -> QuerySet[Network]:
    """Only a team of the caller's: whom else a network is shared with is not theirs to find out (INV-15)."""
    team = next((team for team in teams_of(actor) if team.name == name), None)
    return rows.filter(pk__in=sharing.usable_by(team.pk)) if team else rows.none()


@router.post("", response={202: NetworkAccepted}, url_name="create_network")
def create_network(request: HttpRequest, response: HttpResponse, payload: NetworkIn) -> Status[NetworkAccepted]:
    """Let a network be made; nothing said at all makes br0 on the first free /24."""
    actor = caller(request)
    team = team_named(actor, payload.team)
    network, operation = networks.create(team, payload.spec(payload.name, partial(team_named, actor)), actor=actor)
    return _accepted(response, network, operation, actor)


@router.get("{uuid:network_id}/", response=WaitedNetworkOut, url_name="get_network")
def get_network(
    request: HttpRequest,
    network_id: UUID,
    wait_for: Annotated[Literal["", "up"], Query()] = "",
    timeout: Annotated[float, Query(ge=0, le=LONGEST)] = 25,
) -> WaitedNetworkOut:
    """One network. With `wait_for=up`, the answer is held until it is up or `timeout` seconds have passed; `waited_for` says which."""
    actor = caller(request)
    found = visible_network(actor, network_id)
    if wait_for:
        found = hold(
            lambda: visible_network(actor, network_id),
            _is_up,
            actor=actor,
            team_id=found.team_id,
            concerns=(f"network:{network_id}",),
            seconds=timeout,
        )
    return WaitedNetworkOut(**vars(network_out(found, actor)), waited_for=_is_up(found) if wait_for else None)


def _is_up(network: Network) -> bool:
    return network.observed == Observed.UP


@router.patch("{uuid:network_id}/", response={202: NetworkAccepted}, url_name="edit_network")
def edit_network(request: HttpRequest, response: HttpResponse, network_id: UUID, payload: NetworkPatch) -> Status[NetworkAccepted]:
    """Change what is asked for; a subnet that NICs have addresses in stays as it is."""
    actor = caller(request)
    spec = payload.spec(payload.name, partial(team_named, actor))
    network, operation = networks.edit(visible_network(actor, network_id), spec, actor=actor)
    return _accepted(response, network, operation, actor)


@router.delete("{uuid:network_id}/", response={202: OperationAccepted}, url_name="delete_network")
def delete_network(request: HttpRequest, response: HttpResponse, network_id: UUID) -> Status[OperationAccepted]:
    """Let it be taken away; 409 "in_use" names the instances that are on it."""
    actor = caller(request)
    operation = networks.delete(visible_network(actor, network_id), actor=actor)
    point_to(response, operation)
    return Status(202, OperationAccepted(operation=operation_out(operation)))


@router.post("{uuid:network_id}/actions/", response={202: OperationAccepted}, url_name="act_on_network")
def act_on_network(request: HttpRequest, response: HttpResponse, network_id: UUID, payload: ActionIn) -> Status[OperationAccepted]:
    """repair: compare it with the host now, and put right what differs."""
    actor = caller(request)
    operation = networks.repair(visible_network(actor, network_id), actor=actor)
    point_to(response, operation)
    return Status(202, OperationAccepted(operation=operation_out(operation)))


@router.put("{uuid:network_id}/links/", response=NetworkOut, url_name="link_network")
def link_network(request: HttpRequest, network_id: UUID, payload: LinksIn) -> NetworkOut:
    """Let it exchange packets with exactly these networks; for superusers."""
    actor = caller(request)
    others = [visible_network(actor, other) for other in payload.networks]
    networks.link(visible_network(actor, network_id), others, actor=actor)
    return network_out(visible_network(actor, network_id), actor)


def _accepted(response: HttpResponse, network: Network, operation: Operation, actor: Actor) -> Status[NetworkAccepted]:
    point_to(response, operation)
    out = network_out(visible_network(actor, network.pk), actor)
    return Status(202, NetworkAccepted(network=out, operation=operation_out(operation)))
