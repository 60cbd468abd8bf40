"""What comes out of the API, and how rows become that. Called by every route."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from pydantic import BaseModel, Field

from instances import shown
from instances.models import Image, Instance, Upload
from instances.services.uploads import CHUNK_SIZE
from opsweb.core.access import Actor
from opsweb.core.models import Operation
from opsweb.teams.api.answers import Note, OperationAccepted, OperationOut, name_of, operation_out


class UploadOut(BaseModel):
    """How far an upload is; all in bytes."""

    id: UUID
    filename: str
    size: int
    received: int
    chunk_size: int = CHUNK_SIZE


class ImageOut(BaseModel):
    """An image."""

    id: UUID
    name: str
    team: str
    kind: str
    runtime: str
    arch: str
    state: str
    digest: str
    size: int
    program: str
    notes: list[Note]
    error: str
    created_at: datetime
    created_by: str
    in_use_by: int


class ImageRef(BaseModel):
    """The image of an instance."""

    id: UUID
    name: str
    digest: str


class PortOut(BaseModel):
    """A port of the host that leads into the guest."""

    protocol: str
    host_address: str
    host_port: int
    guest_port: int
    url: str
    withdrawn: bool = Field(description="An admin took the address away: the port is closed until it is published again.")


class NicOut(BaseModel):
    """A network adapter; `network` is empty in user mode. What it counts: [packets, bytes] "in" (to the guest), "out" and "dropped"."""

    name: str
    network: str
    mac: str
    address4: str
    address6: str
    fixed: bool
    rate_kbit: int
    counts: dict[str, list[int]]


class BootBar(BaseModel):
    """One bar of the last start's waterfall, from the moment it was asked for."""

    name: str
    start_ms: float
    ms: float


class ExitOut(BaseModel):
    """How the last boot ended."""

    reason: str
    code: int | None
    signal: int | None
    message: str
    at: datetime


class InstanceOut(BaseModel):
    """An instance; values of secret env are null."""

    id: UUID
    name: str
    team: str
    image: ImageRef
    host: str
    arch: str
    vcpus: int
    memory_mib: int
    args: list[str]
    env: dict[str, str | None]
    secret_env: list[str]
    hosts: dict[str, str]
    nameservers: list[str]
    desired: str
    state: str
    label: str
    tone: str
    addresses: list[str]
    nics: list[NicOut]
    ports: list[PortOut]
    boot: list[BootBar]
    exit: ExitOut | None
    restart_policy: str
    autostart: bool
    reboot_on_exit: bool
    restart_to_apply: list[str]
    verbs: list[str]
    limits_note: str
    created_at: datetime
    created_by: str
    started_at: datetime | None
    operation: OperationOut | None
    message: str


class WaitedInstanceOut(InstanceOut):
    """The same, with whether what was waited for is so."""

    waited_for: bool | None = None


class ImageAccepted(OperationAccepted):
    """An image is being built."""

    image: ImageOut
    notes: list[Note]


class InstanceAccepted(BaseModel):
    """An instance is written down; without `start` there is nothing to wait for."""

    instance: InstanceOut
    operation: OperationOut | None
    notes: list[Note]


def upload_out(upload: Upload) -> UploadOut:
    """A row as an answer."""
    return UploadOut(id=upload.pk, filename=upload.filename, size=upload.size, received=upload.received)


SAME_OF_IMAGE = ("id", "name", "kind", "runtime", "arch", "state", "digest", "size", "notes", "error", "created_at")


def image_out(image: Image, in_use_by: int) -> ImageOut:
    """A row with `team` and `created_by` as an answer."""
    same: dict[str, Any] = {name: getattr(image, name) for name in SAME_OF_IMAGE}
    program = image.facts.get("program") or image.recipe.get("program") or ""
    return ImageOut(**same, team=image.team.name, program=program, created_by=name_of(image.created_by), in_use_by=in_use_by)


SHOWN_ROWS = ("nics__forwards", "nics__network")  # what `instances_out` reads of an instance's rows elsewhere


def with_relations(rows: QuerySet[Instance]) -> QuerySet[Instance]:
    """All that `instances_out` reads, in a constant number of queries."""
    return rows.select_related("image", "host", "team", "created_by").prefetch_related(*SHOWN_ROWS)


def instance_out(instance: Instance, actor: Actor) -> InstanceOut:
    """One row as an answer."""
    return instances_out([instance], actor)[0]


def instances_out(instances: Iterable[Instance], actor: Actor) -> list[InstanceOut]:
    """Rows (of `with_relations`) as answers. Two queries beside theirs."""
    rows = list(instances)
    active = shown.active_operations(rows)
    starts = shown.last_starts(rows, active)
    return [_instance_out(row, actor, active.get(row.pk), starts.get(row.pk)) for row in rows]


SAME_OF_INSTANCE = (
    *("id", "name", "arch", "vcpus", "memory_mib", "args", "secret_env", "hosts", "nameservers", "desired", "exit", "restart_policy"),
    *("autostart", "reboot_on_exit", "restart_to_apply", "limits_note", "created_at", "started_at", "message"),
)


def _instance_out(instance: Instance, actor: Actor, operation: Operation | None, start: Operation | None) -> InstanceOut:
    badge = shown.badge(instance, operation)
    same: dict[str, Any] = {name: getattr(instance, name) for name in SAME_OF_INSTANCE}
    image = instance.image
    return InstanceOut(
        **same,
        team=instance.team.name,
        image=ImageRef(id=image.pk, name=image.name, digest=image.digest),
        host=instance.host.name,
        env=shown.env(instance),
        state=instance.observed,
        label=badge.label,
        tone=badge.tone,
        addresses=shown.addresses(instance),
        nics=[NicOut(**nic) for nic in shown.nics(instance)],
        ports=[PortOut(**forward) for forward in shown.forwards(instance)],
        boot=[BootBar(**bar) for bar in shown.boot_times(instance, start)],
        verbs=[button.verb for button in shown.verb_buttons(instance, actor) if not button.why_not],
        created_by=name_of(instance.created_by),
        operation=operation_out(operation) if operation else None,
    )
