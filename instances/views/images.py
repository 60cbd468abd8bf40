"""Images: the list, one image, deleting it."""

from urllib.parse import urlencode
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from instances.models import Image
from instances.services import images as services
from instances.views.present import image_badge
from opsweb.core import access, operations
from opsweb.core.access import Actor
from opsweb.core.errors import Refusal
from opsweb.teams import pages
from opsweb.teams.actors import actor_of
from opsweb.teams.chosen import team_of
from opsweb.teams.feed import entries_of

PER_PAGE = 50
SHOWN_USERS = 50


def _with_relations(rows: QuerySet[Image]) -> QuerySet[Image]:
    return rows.select_related("team", "created_by", "host").annotate(users=Count("instances"))


def index(request: HttpRequest) -> HttpResponse:
    """The team's images."""
    actor, team = actor_of(request), team_of(request)
    name = request.GET.get("name", "").strip()
    mine = access.visible(actor, _with_relations(Image.objects.filter(team=team)))
    rows = Paginator(mine.filter(name__icontains=name).order_by("-created_at", "name"), PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": rows,
        "rows": [(image, image_badge(image)) for image in rows.object_list],
        "name": name,
        "query": urlencode({"name": name}) if name else "",
    }
    return pages.page(request, "images/list.html", context)


def fetch(actor: Actor, image_id: UUID) -> Image:
    """Raises: NotFound."""
    return access.get_or_404(actor, _with_relations(Image.objects.all()), pk=image_id)


def detail(request: HttpRequest, image_id: UUID) -> HttpResponse:
    """One image: what it is made of, what runs it."""
    actor = actor_of(request)
    image = fetch(actor, image_id)
    pages.follow_team(request, image.team)
    context = {
        "image": image,
        "badge": image_badge(image),
        "operation": operations.active("image", image.pk),
        "users": list(image.instances.order_by("name")[:SHOWN_USERS]),
        "entries": entries_of(actor, target=image.pk)[:8],
        "why_not_run": access.refusal(actor, "instance.create", image.team_id) or _unbuilt(image),
        "why_not_delete": access.refusal(actor, "image.delete", image.team_id) or _in_use(image),
    }
    return pages.page(request, "images/detail.html", context)


def _in_use(image: Image) -> str:
    count = image.users  # type: ignore[attr-defined]  # annotated by _with_relations
    return f"{count} instance{'s run' if count != 1 else ' runs'} it. Delete {'those' if count != 1 else 'that'} first." if count else ""


def _unbuilt(image: Image) -> str:
    return "It could not be built, so there is nothing to run." if image.state == "failed" else ""


@require_POST
def delete(request: HttpRequest, image_id: UUID) -> HttpResponse:
    """Ask the worker to remove it."""
    actor = actor_of(request)
    image = fetch(actor, image_id)
    try:
        services.delete(image, actor=actor)
    except Refusal as error:
        return pages.refused(request, error, reverse("images:detail", args=[image_id]))
    return pages.moved(request, f"Deleting {image.name}.", reverse("images:list"))
