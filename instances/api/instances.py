"""instances/: read, make, change, act on, wait for."""

from functools import partial
from typing import Annotated
from uuid import UUID

from django.db.models import prefetch_related_objects
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Status

from instances.api.answers import SHOWN_ROWS, InstanceAccepted, InstanceOut, WaitedInstanceOut, instance_out, instances_out, with_relations
from instances.api.config import config_of
from instances.api.lookup import image_called
from instances.api.schemas import ActionIn, InstanceIn, InstancePatch, InstanceQuery
from instances.api.waits import is_so
from instances.imaging.opsnetwork import Bridging
from instances.models import Instance
from instances.services import bridging, create, images, power
from instances.services.naming import free_name
from instances.states import Verb
from networks.api.lookup import usable_network
from opsweb.core import access
from opsweb.core.errors import Invalid
from opsweb.teams.api.answers import Note, OperationAccepted, Page, operation_out, point_to
from opsweb.teams.api.auth import caller
from opsweb.teams.api.lookup import team_named
from opsweb.teams.api.waiting import LONGEST, hold

router = Router()

WaitFor = Annotated[str, Query(pattern=r"^(running|ended|ready|port:[1-9][0-9]{0,4})?$")]


@router.get("", response=Page[InstanceOut], url_name="list_instances")
def list_instances(request: HttpRequest, query: Annotated[InstanceQuery, Query()]) -> Page[InstanceOut]:
    """Instances by name."""
    actor = caller(request)
    rows = access.visible(actor, Instance.objects.all())
    filters = {"name": query.name, "team__name": query.team, "observed": query.state}
    rows = rows.filter(**{column: value for column, value in filters.items() if value})
    shown = with_relations(rows).order_by("name", "pk")[query.offset : query.offset + query.limit]
    return Page(items=instances_out(shown, actor), count=rows.count())


@router.post("", response={202: InstanceAccepted}, url_name="create_instance")
def create_instance(request: HttpRequest, response: HttpResponse, payload: InstanceIn) -> Status[InstanceAccepted]:
    """Make an instance of an image and start it."""
    actor = caller(request)
    team = team_named(actor, payload.team)
    image = image_called(actor, team, payload.image)
    config = config_of(payload.config)
    spec = payload.spec(partial(usable_network, team))
    if config is not None:
        spec = spec.under(images.defaults_of(config))
    name = payload.name or getattr(config, "instance_name", "") or free_name(Instance, team, image.name)
    instance, operation, told = bridging.create(
        team,
        name,
        image,
        spec,
        actor=actor,
        start=payload.start,
        wish=_wish(payload),
        config=config.bridging if config else None,
        may_create=_may_create(payload),
    )
    point_to(response, operation)
    notes = [Note(**note) for note in [*(images.notes_of(config) if config else []), *told]]
    prefetch_related_objects([instance], *SHOWN_ROWS)
    return Status(
        202,
        InstanceAccepted(instance=instance_out(instance, actor), operation=operation_out(operation) if operation else None, notes=notes),
    )


def _wish(payload: InstanceIn) -> Bridging | None:
    """OPS's words beside the config. Raises: Invalid beside `nics`."""
    if payload.bridging and payload.nics is not None:
        raise Invalid("Say either nics or bridging.", fields={"bridging": ["not beside nics"]})
    return payload.bridging.wish() if payload.bridging else None


def _may_create(payload: InstanceIn) -> bool:
    return payload.bridging is None or payload.bridging.create_network


@router.get("{uuid:instance_id}/", response=WaitedInstanceOut, url_name="get_instance")
def get_instance(
    request: HttpRequest, instance_id: UUID, wait_for: WaitFor = "", timeout: Annotated[float, Query(ge=0, le=LONGEST)] = 25
) -> WaitedInstanceOut:
    """One instance. With `wait_for`, the answer is held until that is so or `timeout` seconds have passed; `waited_for` says which."""
    actor = caller(request)
    found = _fetch(request, instance_id)
    if wait_for:
        found = hold(
            lambda: _fetch(request, instance_id),
            lambda seen: is_so(seen, wait_for),
            actor=actor,
            team_id=found.team_id,
            concerns=(f"instance:{instance_id}", "operation:"),
            seconds=timeout,
        )
    waited_for = is_so(found, wait_for) if wait_for else None
    return WaitedInstanceOut(**vars(instance_out(found, actor)), waited_for=waited_for)


@router.patch("{uuid:instance_id}/", response=InstanceOut, url_name="edit_instance")
def edit_instance(request: HttpRequest, instance_id: UUID, payload: InstancePatch) -> InstanceOut:
    """Change what is asked for."""
    actor = caller(request)
    instance = _fetch(request, instance_id)
    create.edit(instance, payload.spec(partial(usable_network, instance.team)), actor=actor, name=payload.name)
    return instance_out(_fetch(request, instance_id), actor)


@router.delete("{uuid:instance_id}/", response={202: OperationAccepted}, url_name="delete_instance")
def delete_instance(request: HttpRequest, response: HttpResponse, instance_id: UUID) -> Status[OperationAccepted]:
    """Force it off and remove it with its console log and ports."""
    return _requested(request, response, instance_id, Verb.DELETE)


@router.post("{uuid:instance_id}/actions/", response={202: OperationAccepted}, url_name="act_on_instance")
def act_on_instance(request: HttpRequest, response: HttpResponse, instance_id: UUID, payload: ActionIn) -> Status[OperationAccepted]:
    """start, stop, force-off, pause, resume, reboot, reset."""
    return _requested(request, response, instance_id, Verb(payload.verb))


def _requested(request: HttpRequest, response: HttpResponse, instance_id: UUID, verb: Verb) -> Status[OperationAccepted]:
    operation = power.request(verb, _fetch(request, instance_id), actor=caller(request))
    point_to(response, operation)
    return Status(202, OperationAccepted(operation=operation_out(operation)))


def _fetch(request: HttpRequest, instance_id: UUID) -> Instance:
    """Raises: NotFound."""
    return access.get_or_404(caller(request), with_relations(Instance.objects.all()), pk=instance_id)
