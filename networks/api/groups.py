"""groups/: instances under one name, for rules to speak of."""

from typing import Annotated
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest
from ninja import Query, Router, Status
from pydantic import BaseModel

from networks.api.schemas import GroupIn, GroupPatch, NetworkQuery
from networks.models import Group
from networks.services import groups
from opsweb.core import access
from opsweb.teams.api.answers import Page
from opsweb.teams.api.auth import caller
from opsweb.teams.api.lookup import team_named

router = Router()


class MemberOut(BaseModel):
    """An instance of the group."""

    id: UUID
    name: str


class GroupOut(BaseModel):
    """A group."""

    id: UUID
    name: str
    team: str
    instances: list[MemberOut]


@router.get("", response=Page[GroupOut], url_name="list_groups")
def list_groups(request: HttpRequest, query: Annotated[NetworkQuery, Query()]) -> Page[GroupOut]:
    """Groups by name."""
    rows = access.visible(caller(request), Group.objects.all())
    filters = {"name": query.name, "team__name": query.team}
    rows = rows.filter(**{column: value for column, value in filters.items() if value})
    part = _with_relations(rows).order_by("name", "pk")[query.offset : query.offset + query.limit]
    return Page(items=[_out(row) for row in part], count=rows.count())


@router.post("", response={201: GroupOut}, url_name="create_group")
def create_group(request: HttpRequest, payload: GroupIn) -> Status[GroupOut]:
    """Make a group."""
    actor = caller(request)
    group = groups.create(team_named(actor, payload.team), payload.name, payload.instances, actor=actor)
    return Status(201, _out(_fetch(request, group.pk)))


@router.get("{uuid:group_id}/", response=GroupOut, url_name="get_group")
def get_group(request: HttpRequest, group_id: UUID) -> GroupOut:
    """One group."""
    return _out(_fetch(request, group_id))


@router.patch("{uuid:group_id}/", response=GroupOut, url_name="edit_group")
def edit_group(request: HttpRequest, group_id: UUID, payload: GroupPatch) -> GroupOut:
    """Another name, other members; rules that speak of it follow at once."""
    groups.edit(_fetch(request, group_id), actor=caller(request), name=payload.name, instances=payload.instances)
    return _out(_fetch(request, group_id))


@router.delete("{uuid:group_id}/", response={204: None}, url_name="delete_group")
def delete_group(request: HttpRequest, group_id: UUID) -> Status[None]:
    """409 "in_use" while a rule speaks of it."""
    groups.delete(_fetch(request, group_id), actor=caller(request))
    return Status(204, None)


def _with_relations(rows: QuerySet[Group]) -> QuerySet[Group]:
    return rows.select_related("team").prefetch_related("instances")


def _fetch(request: HttpRequest, group_id: UUID) -> Group:
    """Raises: NotFound."""
    return access.get_or_404(caller(request), _with_relations(Group.objects.all()), pk=group_id)


def _out(group: Group) -> GroupOut:
    members = [MemberOut(id=instance.pk, name=instance.name) for instance in group.instances.all()]
    return GroupOut(id=group.pk, name=group.name, team=group.team.name, instances=members)
