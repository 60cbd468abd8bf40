"""Pages that belong to no app: failures."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW: usually a page that was open when somebody signed out or in elsewhere."""
    return render(request, "errors/csrf.html", {"reason": reason}, status=403)
