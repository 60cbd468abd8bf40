"""images/: made of uploads, built by the worker, deleted when nothing runs them."""

from typing import Annotated
from uuid import UUID

from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Status

from instances.api.answers import ImageAccepted, ImageOut, image_out
from instances.api.config import config_of
from instances.api.lookup import upload_of
from instances.api.schemas import ImageIn, ImageQuery
from instances.models import Image
from instances.services import images
from opsweb.core import access
from opsweb.teams.api.answers import Note, OperationAccepted, Page, operation_out, point_to
from opsweb.teams.api.auth import caller
from opsweb.teams.api.lookup import team_named

router = Router()


@router.get("", response=Page[ImageOut], url_name="list_images")
def list_images(request: HttpRequest, query: Annotated[ImageQuery, Query()]) -> Page[ImageOut]:
    """Images by name; those on their way out are left out."""
    rows = access.visible(caller(request), Image.objects.filter(is_wanted=True))
    rows = rows.filter(name=query.name) if query.name else rows
    rows = rows.filter(team__name=query.team) if query.team else rows
    shown = _with_relations(rows).order_by("name", "pk")[query.offset : query.offset + query.limit]
    return Page(items=[image_out(row, _users(row)) for row in shown], count=rows.count())


@router.post("", response={202: ImageAccepted}, url_name="create_image")
def create_image(request: HttpRequest, response: HttpResponse, payload: ImageIn) -> Status[ImageAccepted]:
    """Let an image be built."""
    actor = caller(request)
    team = team_named(actor, payload.team)
    image, operation = images.create(
        team,
        payload.name,
        actor=actor,
        program=upload_of(actor, team, payload.program),
        files=upload_of(actor, team, payload.files),
        program_name=payload.program_name,
        config=config_of(payload.config),
    )
    point_to(response, operation)
    notes = [Note(**note) for note in image.notes]
    return Status(202, ImageAccepted(image=image_out(_fetch(request, image.pk), 0), operation=operation_out(operation), notes=notes))


@router.get("{uuid:image_id}/", response=ImageOut, url_name="get_image")
def get_image(request: HttpRequest, image_id: UUID) -> ImageOut:
    """One image."""
    image = _fetch(request, image_id)
    return image_out(image, _users(image))


@router.delete("{uuid:image_id}/", response={202: OperationAccepted}, url_name="delete_image")
def delete_image(request: HttpRequest, response: HttpResponse, image_id: UUID) -> Status[OperationAccepted]:
    """Let it be erased; 409 "in_use" names the instances that run it."""
    operation = images.delete(_fetch(request, image_id), actor=caller(request))
    point_to(response, operation)
    return Status(202, OperationAccepted(operation=operation_out(operation)))


def _with_relations(rows: QuerySet[Image]) -> QuerySet[Image]:
    return rows.select_related("team", "created_by", "host").annotate(users=Count("instances"))


def _users(image: Image) -> int:
    return image.users  # type: ignore[attr-defined, no-any-return]  # annotated by _with_relations


def _fetch(request: HttpRequest, image_id: UUID) -> Image:
    return access.get_or_404(caller(request), _with_relations(Image.objects.all()), pk=image_id)
