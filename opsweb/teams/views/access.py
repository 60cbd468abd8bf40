"""Who may do what, as a page: the table of core.access itself, so that it can't say anything else than what holds."""

from itertools import groupby

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from opsweb.core.access import LEAST_ROLE, OF_SUPERUSERS, Role
from opsweb.teams import pages
from opsweb.teams.actors import actor_of
from opsweb.teams.chosen import teams_of_request


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Every verb × every role, and the person's own role in each of their teams."""
    actor = actor_of(request)
    own = [(team, actor.roles[team.pk].name.lower()) for team in teams_of_request(request) if team.pk in actor.roles]
    return pages.page(request, "access/page.html", {"groups": groups(), "roles": role_names(), "own": own})


def role_names() -> list[str]:
    """The columns, the least first."""
    return [role.name.lower() for role in Role]


def groups() -> list[tuple[str, list[tuple[str, list[bool]]]]]:
    """(kind, [(verb, whether each role may)]) in the table's order."""
    rows = [(verb, [role >= least for role in Role]) for verb, least in LEAST_ROLE.items()]
    rows += [(verb, [False for _ in Role]) for verb in sorted(OF_SUPERUSERS)]
    by_kind = groupby(rows, key=lambda row: row[0].partition(".")[0])
    return [(kind, [(_words(verb), marks) for verb, marks in some]) for kind, some in by_kind]


def _words(verb: str) -> str:
    """ "instance.force-off" → "force off"."""
    return verb.partition(".")[2].replace("-", " ")
