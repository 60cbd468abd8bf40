"""Uploads: bytes come in chunks with an offset, are counted as they stream to disk, and are never looked at here."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Sum
from django.utils import timezone

from instances.models import Upload
from instances.services.capacity import check_disk
from opsweb.core import access, audit
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, NotFound, TooLarge, Unavailable
from opsweb.environment import env
from opsweb.teams.models import Team
from opsweb.teams.services import lock_team

CHUNK_SIZE = 8 * 1024**2  # bytes; Django spools a body before a view sees it
MAX_SIZE = 2 * 1024**3  # bytes
MAX_WAITING = 200  # uploads of one team that nothing was made of yet
MAX_WAITING_SIZE = 8 * 1024**3  # bytes of these, as announced
KEPT_FOR = timedelta(hours=24)


def path_of(upload_id: UUID) -> Path:
    """Where its bytes lie. The name is our own, never the user's."""
    return env.state_dir / "uploads" / str(upload_id)


def begin(team: Team, filename: str, size: int, *, actor: Actor) -> Upload:
    """Announce an upload of `size` bytes. Raises: NotFound, Forbidden, TooLarge, Conflict("quota", "no_room")."""
    access.require(actor, "upload.create", team.pk)
    if size > MAX_SIZE:
        raise TooLarge(f"{filename} has {size} bytes; at most {MAX_SIZE} are taken.")
    check_disk(size)
    with transaction.atomic():
        lock_team(team.pk)
        _refuse_hoard(team, size)
        upload = Upload.objects.create(team=team, filename=filename[:200], size=size, created_by_id=actor.user_id)
        audit.record(
            actor, "upload.create", kind="upload", target_id=upload.pk, label=upload.filename, team_id=team.pk, details={"size": size}
        )
    return upload


def _refuse_hoard(team: Team, size: int) -> None:
    """Uploads that nothing was made of yet are bounded for each team (SEC-B3)."""
    waiting = Upload.objects.filter(team=team).aggregate(number=Count("pk"), size=Sum("size", default=0))
    if waiting["number"] >= MAX_WAITING or waiting["size"] + size > MAX_WAITING_SIZE:
        raise Conflict(
            f"The team has {waiting['number']} uploads of {waiting['size']} bytes that no image was made of yet. "
            f"Use or cancel some: at most {MAX_WAITING} of {MAX_WAITING_SIZE} bytes together are kept, each for a day.",
            code="quota",
        )


def append(upload: Upload, offset: int, body: bytes, *, actor: Actor) -> Upload:
    """Write `body` at `offset`, which must be what is here already: so a broken connection goes on and a doubled chunk is refused.

    Raises: NotFound, Forbidden; Conflict("upload_offset") whose field `received` says where to go on; TooLarge.
    """
    access.require(actor, "upload.create", upload.team_id)
    if offset != upload.received:
        raise _offset_is(upload.received)
    if offset + len(body) > upload.size:
        raise TooLarge(f"{upload.filename} was announced with {upload.size} bytes; this chunk would pass that.")
    with _opened(path_of(upload.pk)) as descriptor:
        _expect(upload, offset)
        _write(descriptor, offset, body)
        received = offset + len(body)
        Upload.objects.filter(pk=upload.pk, received=offset).update(received=received)
    upload.received = received
    return upload


def _offset_is(received: int) -> Conflict:
    return Conflict(f"{received} bytes are here; go on from there.", code="upload_offset", fields={"received": [received]})


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A descriptor of the file, held alone: of two chunks for one place, the second sees what the first wrote."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise Unavailable(f"The panel can't store uploads now: {error.strerror}.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _expect(upload: Upload, offset: int) -> None:
    received = Upload.objects.filter(pk=upload.pk).values_list("received", flat=True).first()
    if received is None:  # cancelled meanwhile; opening may have made the file anew
        path_of(upload.pk).unlink(missing_ok=True)
        raise NotFound
    if received != offset:
        raise _offset_is(received)


def _write(descriptor: int, offset: int, body: bytes) -> None:
    left = memoryview(body)
    try:
        while left:  # a disk that fills up takes a part first (write(2))
            written = os.pwrite(descriptor, left, offset)
            left, offset = left[written:], offset + written
    except OSError as error:
        raise Unavailable(f"The panel can't store uploads now: {error.strerror}. Nothing is lost; go on later.") from error


def cancel(upload: Upload, *, actor: Actor) -> None:
    """Remove it and its bytes."""
    access.require(actor, "upload.create", upload.team_id)
    upload_id = upload.pk
    with transaction.atomic():
        discard(upload)  # may wait for who makes an image of it
        audit.record(actor, "upload.cancel", kind="upload", target_id=upload_id, label=upload.filename, team_id=upload.team_id)


def discard(upload: Upload) -> None:
    """Drop row and bytes; used when they are not needed any more."""
    path = path_of(upload.pk)
    upload.delete()
    transaction.on_commit(lambda: path.unlink(missing_ok=True))


def discard_stale() -> int:
    """Drop uploads that nobody came back for; called by the sweep. Returns how many."""
    stale = Upload.objects.filter(created_at__lt=timezone.now() - KEPT_FOR, pk__in=_unused())
    for upload in stale:
        with transaction.atomic():
            discard(upload)
    return len(stale)


def _unused() -> list[UUID]:
    from instances.models import Image

    waiting = Image.objects.filter(digest="", error="")
    used = {*waiting.values_list("program_upload", flat=True), *waiting.values_list("files_upload", flat=True)}
    return [pk for pk in Upload.objects.values_list("pk", flat=True) if pk not in used]
