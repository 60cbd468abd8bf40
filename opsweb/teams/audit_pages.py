"""/audit/: the log for admins, filtered in the URL, and its export."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from opsweb.core.errors import Invalid, NotFound
from opsweb.teams import exports
from opsweb.teams.actors import actor_of
from opsweb.teams.pages import page
from opsweb.teams.trail import TrailFilter, lines, trail

PER_PAGE = 50


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The log, or only its live part."""
    actor = actor_of(request)
    wanted = TrailFilter(request.GET, actor=actor)
    rows = Paginator(trail(actor, wanted), PER_PAGE).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "form": wanted,
        "page": rows,
        "rows": lines(list(rows.object_list)),
        "query": query.urlencode(),
        "is_filtered": any(request.GET.get(name) for name in wanted.fields),
    }
    return page(request, "audit/list.html", context)


@require_safe
def export(request: HttpRequest, form: str) -> StreamingHttpResponse:
    """What the same filter shows, all of it, as a file. Raises: NotFound, Forbidden; Invalid when a field makes no sense."""
    if form not in exports.FORMS:
        raise NotFound
    actor = actor_of(request)
    wanted = TrailFilter(request.GET, actor=actor)
    entries = trail(actor, wanted)
    if wanted.errors:
        raise Invalid("; ".join(f"{name}: {' '.join(map(str, texts))}" for name, texts in wanted.errors.items()))
    content_type, head, write = exports.FORMS[form]
    response = StreamingHttpResponse(exports.stream(entries, head, write), content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="audit-{timezone.now():%Y-%m-%d}.{form}"'
    response["Cache-Control"] = "no-store"
    return response
