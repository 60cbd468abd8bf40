"""What every request passes: an id, the panel's own name, a content security policy, one place where refusals become pages."""

import re
import secrets
import threading
from collections.abc import Callable
from contextlib import nullcontext

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render

from opsweb.core.errors import Refusal, Unauthenticated
from opsweb.environment import env

Handler = Callable[[HttpRequest], HttpResponse]

SAFE = ("GET", "HEAD", "OPTIONS")
WRITERS = 2  # one writes, another reads and thinks
REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,40}\Z")

POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
# The admin's own scripts (unfold, Alpine) evaluate expressions; only superusers ever load it.
ADMIN_POLICY = POLICY.replace(
    "default-src 'self'", "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'"
)


def request_id(get_response: Handler) -> Handler:
    """Give each request an id (a caller's own is kept when it is harmless) and send it back, so that errors can be found in the logs."""

    def middleware(request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request.request_id = given if REQUEST_ID.match(given) else secrets.token_hex(8)  # type: ignore[attr-defined]
        response = get_response(request)
        response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
        return response

    return middleware


def few_writers(get_response: Handler) -> Handler:
    """Let requests that may write take turns, in the order they came: a database has one writer at a time, and who asks it again and again
    whether his turn has come sleeps longer each time. None of them waits for a guest or a worker.
    """
    turns = threading.BoundedSemaphore(WRITERS)

    def middleware(request: HttpRequest) -> HttpResponse:
        with nullcontext() if request.method in SAFE else turns:
            return get_response(request)

    return middleware


def panel_name(get_response: Handler) -> Handler:
    """Send a browser that came under another name to the panel's own: cookies know no ports, and guests live under other names."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.get_host() == env.panel_host or _needs_no_name(request):
            return get_response(request)
        if request.method in ("GET", "HEAD"):
            return HttpResponseRedirect(env.panel_url + request.get_full_path())
        return HttpResponse(f"Use {env.panel_url} for this.\n", status=421, content_type="text/plain")

    return middleware


def _needs_no_name(request: HttpRequest) -> bool:
    """A bearer token is no cookie, and health is no secret."""
    return request.path == "/healthz" or (request.path.startswith("/api/") and "Authorization" in request.headers)


def content_security_policy(get_response: Handler) -> Handler:
    """No inline script or style anywhere, no other origin."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", ADMIN_POLICY if request.path.startswith("/admin/") else POLICY)
        return response

    return middleware


class RefusalPages:
    """Turn a refusal that a view did not catch into a page; the API has its own handler."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Django calls this for an exception out of a view."""
        if not isinstance(error, Refusal):
            return None
        if isinstance(error, Unauthenticated):
            return redirect("sign-in")
        return render(request, "errors/refusal.html", {"error": error}, status=error.status)


def domain_errors(get_response: Handler) -> RefusalPages:
    """The middleware's factory."""
    return RefusalPages(get_response)
