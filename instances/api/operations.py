"""operations/: what is being done and how it ended; a caller may wait for the end."""

from typing import Annotated
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router

from instances.api.schemas import OperationQuery
from opsweb.core import access
from opsweb.core.models import Operation
from opsweb.teams.api.answers import OperationOut, Page, operation_out
from opsweb.teams.api.auth import caller
from opsweb.teams.api.waiting import LONGEST, hold

router = Router()


@router.get("", response=Page[OperationOut], url_name="list_operations")
def list_operations(request: HttpRequest, query: Annotated[OperationQuery, Query()]) -> Page[OperationOut]:
    """Operations, newest first; `active=1`: those that are not over."""
    rows = access.visible(caller(request), Operation.objects.all())
    rows = rows.filter(status__in=Operation.ACTIVE) if query.active else rows
    rows = rows.filter(target_id=query.target_id) if query.target_id else rows
    shown = rows.order_by("-created_at", "pk")[query.offset : query.offset + query.limit]
    return Page(items=[operation_out(row) for row in shown], count=rows.count())


@router.get("{uuid:operation_id}/", response=OperationOut, url_name="get_operation")
def get_operation(request: HttpRequest, operation_id: UUID, wait: Annotated[float, Query(ge=0, le=LONGEST)] = 0) -> OperationOut:
    """One operation; with `wait`, the answer is held until it is over or so many seconds have passed."""
    actor = caller(request)

    def look() -> Operation:
        return access.get_or_404(actor, Operation.objects.all(), pk=operation_id)

    concerns = (f"operation:{operation_id}",)
    found = hold(look, lambda seen: not seen.is_active, actor=actor, team_id=look().team_id, concerns=concerns, seconds=wait)
    return operation_out(found)
