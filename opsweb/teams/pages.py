"""How a view answers: a whole page or its live part, and what a refused or done action says. Called by every view of this package."""

import json
from collections.abc import Mapping

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils.cache import patch_cache_control, patch_vary_headers

from opsweb.core.errors import Refusal
from opsweb.teams.chosen import follow
from opsweb.teams.models import Team

FRAGMENT = "X-Fragment"  # static/js/live.js asks for the live part with it


def follow_team(request: HttpRequest, team: Team) -> None:
    """The frame around a thing is its team's: for a page that is opened, not for one that is kept live in another tab."""
    if FRAGMENT not in request.headers:
        follow(request, team)


def page(request: HttpRequest, name: str, context: Mapping[str, object], *, status: int = 200) -> HttpResponse:
    """`instances/list.html`, or only its partial `instances/_list.html` when a script asks for it."""
    folder, _, base = name.rpartition("/")
    wants_part = FRAGMENT in request.headers or bool(getattr(request, "htmx", False))
    response = render(request, f"{folder}/_{base}".lstrip("/") if wants_part else name, dict(context), status=status)
    patch_vary_headers(response, [FRAGMENT, "HX-Request"])
    patch_cache_control(response, private=True, no_cache=True)
    return response


def done(request: HttpRequest, text: str, to: str) -> HttpResponse:
    """After an action: a toast where a script called, a redirect with a message for a plain form."""
    if getattr(request, "htmx", False):
        return _toast(HttpResponse(status=204), text, "run")
    messages.success(request, text)
    return redirect(to)


def moved(request: HttpRequest, text: str, to: str) -> HttpResponse:
    """After an action whose page is gone: go elsewhere, and say why there."""
    messages.success(request, text)
    if getattr(request, "htmx", False):
        response = HttpResponse(status=204)
        response["HX-Redirect"] = to
        return response
    return HttpResponseRedirect(to)


def refused(request: HttpRequest, error: Refusal, to: str) -> HttpResponse:
    """A refusal of an action: nothing changed, so the page stays and a toast says what, why and what to do."""
    if getattr(request, "htmx", False):
        return _toast(HttpResponse(status=error.status), error.message, "bad")
    messages.error(request, error.message)
    return redirect(to)


def _toast(response: HttpResponse, text: str, tone: str) -> HttpResponse:
    # ensure_ascii: a header holds no other character.
    response["HX-Trigger"] = json.dumps({"opsweb:toast": {"text": text, "tone": tone}}, ensure_ascii=True)
    return response
