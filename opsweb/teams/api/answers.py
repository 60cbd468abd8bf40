"""Forms of answers that every app's routes share, and how rows become them."""

from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.http import HttpResponse
from django.urls import reverse
from pydantic import BaseModel

from opsweb.core.models import Operation

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """A part of a list, and how long the whole is."""

    items: list[T]
    count: int


class Note(BaseModel):
    """What happens to a field of a config that the panel does not act on."""

    field: str
    note: str


class StepOut(BaseModel):
    """A finished step; `started` in seconds since the epoch."""

    name: str
    started: float
    ms: float


class OperationOut(BaseModel):
    """One piece of work."""

    id: UUID
    kind: str
    target_id: UUID
    target_label: str
    verb: str
    status: str
    steps: list[StepOut]
    progress: str
    requested_by: str
    error_code: str
    error_message: str
    created_at: datetime
    finished_at: datetime | None


class OperationAccepted(BaseModel):
    """It will be done; ask its Location."""

    operation: OperationOut


def point_to(response: HttpResponse, operation: Operation | None) -> None:
    """`Location` of a 202."""
    if operation is not None:
        response["Location"] = reverse("api:get_operation", args=[operation.pk])


def operation_out(operation: Operation) -> OperationOut:
    """A row as an answer."""
    return OperationOut.model_validate(operation, from_attributes=True)


def name_of(user: Any) -> str:
    """A person's name; "" for a row whose person is gone."""
    return user.get_username() if user else ""
