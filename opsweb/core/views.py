"""Pages that belong to no app: failures, and the one way into the admin."""

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from opsweb.core.errors import Forbidden


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW: usually a page that was open when somebody signed out or in elsewhere."""
    return render(request, "errors/csrf.html", {"reason": reason}, status=403)


@login_not_required
def admin_sign_in(request: HttpRequest) -> HttpResponse:
    """In place of the admin's own sign-in page, which knows neither our throttle nor our audit log.

    Raises: Forbidden to somebody who is signed in and no superuser: the admin sent them here.
    """
    if request.user.is_authenticated:
        raise Forbidden("The admin is for superusers. Sign in as one, or ask one.")
    return redirect_to_login(request.GET.get("next") or reverse("admin:index"))


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500, with the request's id on the page. The page has no frame, so it asks the database nothing."""
    return render(request, "500.html", status=500)
