"""What happened: the audit log in sentences, and the drawer of operations."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from opsweb.teams.actors import actor_of
from opsweb.teams.chosen import team_of
from opsweb.teams.feed import Entry, entries_of
from opsweb.teams.pages import page

PER_PAGE = 50


def activity(request: HttpRequest) -> HttpResponse:
    """All of a team's, paged."""
    feed = entries_of(actor_of(request), team=team_of(request))
    # A Feed slices and counts like the query set behind it; that is all a paginator asks of it.
    pages: Paginator[Entry] = Paginator(feed, PER_PAGE)  # type: ignore[arg-type]
    return page(request, "activity/page.html", {"entries": pages.get_page(request.GET.get("page"))})


def drawer(request: HttpRequest) -> HttpResponse:
    """The drawer of operations, for live.js."""
    return render(request, "layout/_drawer.html")
