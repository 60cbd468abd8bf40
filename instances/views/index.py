"""The list of instances: filtered, sorted and paged in the URL, with a constant number of queries."""

from dataclasses import dataclass
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse

from instances.models import Instance
from instances.states import Observed
from instances.views.present import shown_rows, with_relations
from opsweb.core import access
from opsweb.teams.actors import actor_of
from opsweb.teams.chosen import team_of
from opsweb.teams.pages import page

PER_PAGE = 50
# ?state= → the observed states it stands for.
FACETS: dict[str, tuple[Observed, ...]] = {
    "running": (Observed.RUNNING,),
    "paused": (Observed.PAUSED,),
    "stopped": (Observed.STOPPED, Observed.ABSENT, Observed.UNKNOWN),
    "crashed": (Observed.CRASHED,),
}
SORTS = {"name": "name", "image": "image__name", "size": "memory_mib", "up": "started_at"}


@dataclass(frozen=True)
class Facet:
    """A chip above the list."""

    label: str
    count: int
    is_on: bool
    url: str


def index(request: HttpRequest) -> HttpResponse:
    """The list, or only its live part."""
    actor, team = actor_of(request), team_of(request)
    everything = access.visible(actor, Instance.objects.filter(team=team))
    named = _named(everything, request.GET.get("name", "").strip())
    state = request.GET.get("state", "")
    wanted = named.filter(observed__in=FACETS[state]) if state in FACETS else named
    rows = Paginator(with_relations(wanted).order_by(*_order(request)), PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": rows,
        "rows": shown_rows(rows.object_list, actor),
        "facets": _facets(request, named, state),
        "name": request.GET.get("name", ""),
        "is_filtered": bool(state or request.GET.get("name")),
        "sort": request.GET.get("sort", "name"),
        "query": query_of(request),
    }
    return page(request, "instances/list.html", context)


def _named(rows: QuerySet[Instance], text: str) -> QuerySet[Instance]:
    """By a part of the name, of the image's name, or by a host port."""
    if not text:
        return rows
    found = Q(name__icontains=text) | Q(image__name__icontains=text)
    port = text.rpartition(":")[2]
    if port.isascii() and port.isdigit() and len(port) <= 5:
        found |= Q(pk__in=rows.filter(nics__forwards__host_port=int(port)).values("pk"))
    return rows.filter(found)


def _order(request: HttpRequest) -> list[str]:
    wanted = request.GET.get("sort", "name")
    column = SORTS.get(wanted.removeprefix("-"), "name")
    return [("-" if wanted.startswith("-") else "") + column, "name"]


def _facets(request: HttpRequest, rows: QuerySet[Instance], state: str) -> list[Facet]:
    counts = dict(rows.order_by().values_list("observed").annotate(n=Count("pk")))
    facets = [Facet("All", sum(counts.values()), state not in FACETS, "?" + query_of(request, state="", page=""))]
    for value, observed in FACETS.items():
        count = sum(counts.get(one.value, 0) for one in observed)
        facets.append(Facet(value.capitalize(), count, state == value, "?" + query_of(request, state=value, page="")))
    return facets


def query_of(request: HttpRequest, **changes: str) -> str:
    """The URL's query with some parts changed; empty ones left out."""
    query = {name: request.GET.get(name, "") for name in ("team", "name", "state", "sort", "page")}
    return urlencode({name: value for name, value in {**query, **changes}.items() if value})
