"""uploads/: bytes in chunks with an offset, so that a broken connection goes on where it was. What comes is stored, never looked at."""

from typing import Annotated
from uuid import UUID

from django.http import HttpRequest
from ninja import Header, Router, Status

from instances.api.answers import UploadOut, upload_out
from instances.api.schemas import UploadIn
from instances.models import Upload
from instances.services import uploads
from opsweb.core import access
from opsweb.core.errors import TooLarge
from opsweb.teams.api.auth import caller
from opsweb.teams.api.lookup import team_named

router = Router()


@router.post("", response={201: UploadOut}, url_name="create_upload")
def create_upload(request: HttpRequest, payload: UploadIn) -> Status[UploadOut]:
    """Announce an upload."""
    actor = caller(request)
    upload = uploads.begin(team_named(actor, payload.team), payload.filename, payload.size, actor=actor)
    return Status(201, upload_out(upload))


@router.get("{uuid:upload_id}/", response=UploadOut, url_name="get_upload")
def get_upload(request: HttpRequest, upload_id: UUID) -> UploadOut:
    """How far it is."""
    return upload_out(_fetch(request, upload_id))


@router.put("{uuid:upload_id}/", response=UploadOut, url_name="append_upload")
def append_upload(request: HttpRequest, upload_id: UUID, offset: Annotated[int, Header(alias="Upload-Offset", ge=0)]) -> UploadOut:
    """Append the raw body at `Upload-Offset`, which must be what is here; 409 "upload_offset" says where to go on."""
    upload = _fetch(request, upload_id)
    # Judged by the header: the body is not even read then.
    if int(request.META.get("CONTENT_LENGTH") or 0) > uploads.CHUNK_SIZE:
        raise TooLarge(f"A chunk may have {uploads.CHUNK_SIZE} bytes.")
    return upload_out(uploads.append(upload, offset, request.body, actor=caller(request)))


@router.delete("{uuid:upload_id}/", response={204: None}, url_name="cancel_upload")
def cancel_upload(request: HttpRequest, upload_id: UUID) -> Status[None]:
    """Drop it and its bytes."""
    uploads.cancel(_fetch(request, upload_id), actor=caller(request))
    return Status(204, None)


def _fetch(request: HttpRequest, upload_id: UUID) -> Upload:
    actor = caller(request)
    upload = access.get_or_404(actor, Upload.objects.all(), pk=upload_id)
    access.require(actor, "upload.create", upload.team_id)
    return upload
