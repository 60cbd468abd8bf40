"""instances/{id}/console/: a piece of the kept console log, by byte offsets. Live viewers use the websocket."""

from typing import Annotated
from uuid import UUID

from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from instances.console import RANGE_BYTES, Chunk, Window, ask
from instances.models import Instance
from instances.redis_client import redis
from opsweb.core import access
from opsweb.core.errors import Unavailable
from opsweb.teams.api.auth import caller

router = Router()

MAX_OFFSET = 2**62


@router.get("{uuid:instance_id}/console/", url_name="get_console")
def get_console(
    request: HttpRequest,
    instance_id: UUID,
    start: Annotated[int, Query(alias="from", ge=0, le=MAX_OFFSET)] = 0,
    limit: Annotated[int, Query(ge=0, le=1024**2)] = RANGE_BYTES,
) -> HttpResponse:
    """Bytes from offset `from` on, at most `limit` and at most 256 KiB.

    `Console-Start` and `Console-End` bound what is kept; `Console-Next`, where to go on, minus the length is the first offset.
    """
    actor = caller(request)
    instance = access.get_or_404(actor, Instance.objects.select_related("host"), pk=instance_id)
    access.require(actor, "console.read", instance.team_id)
    window, chunk = _ask(instance, start, start + min(limit, RANGE_BYTES))
    response = HttpResponse(chunk.data, content_type="application/octet-stream")
    response["Console-Start"], response["Console-End"], response["Console-Next"] = window.start, window.end, chunk.end
    response["Content-Disposition"] = f'attachment; filename="{instance.name}.log"'
    response["Cache-Control"] = "no-store"
    return response


def _ask(instance: Instance, start: int, end: int) -> tuple[Window, Chunk]:
    """Raises: Unavailable when the host's watcher does not answer."""

    async def question() -> tuple[Window, Chunk] | None:
        return await ask(redis(), instance.host.name, instance.pk, start, end)

    answer = async_to_sync(question)()
    if answer is None:
        raise Unavailable(f"The watcher of host {instance.host.name} does not answer. Its console comes back with it; nothing is lost.")
    return answer
