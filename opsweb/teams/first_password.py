"""Who signed in with a one-time password goes nowhere before they have one of their own. A middleware; the mark is in the session."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

SESSION_KEY = "one_time_password"
# A session's API calls come from pages, which are not to be had; a token has no session.
FREE = ("/api/", "/static/", "/healthz")

Handler = Callable[[HttpRequest], HttpResponse]


def own_password_first(get_response: Handler) -> Handler:
    """Lead to the page that changes it."""

    def middleware(request: HttpRequest) -> HttpResponse:
        allowed = (reverse("password"), reverse("sign-out"))
        if request.path.startswith(FREE) or request.path in allowed or SESSION_KEY not in request.session:
            return get_response(request)
        return redirect("password")

    return middleware
