"""Every refusal and failure of the API in one form: {"code", "message", "fields", "request_id"}."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from ninja.errors import HttpError, ValidationError
from pydantic import BaseModel
from redis import RedisError

from opsweb.core.errors import Invalid, NotFound, Refusal, TooLarge, Unavailable

log = logging.getLogger(__name__)

SHOWN = 300  # characters of a message that repeat what was sent


class Refused(BaseModel):
    """The one form, for the description."""

    code: str
    message: str
    fields: dict[str, list[Any]]
    request_id: str


def refused(request: HttpRequest, error: Refusal) -> JsonResponse:
    """The answer for a refusal."""
    response = answer(request, error.status, error.code, error.message, error.fields)
    if error.status == 401:
        response["WWW-Authenticate"] = "Bearer"  # RFC 6750 §3
    return response


def answer(
    request: HttpRequest, status: int, code: str, message: str, fields: Mapping[str, Sequence[object]] | None = None
) -> JsonResponse:
    """The one form."""
    body = {"code": code, "message": message, "fields": dict(fields or {}), "request_id": getattr(request, "request_id", "")}
    return JsonResponse(body, status=status)


def unexpected(request: HttpRequest, error: Exception) -> JsonResponse:
    """A mistake of ours: the person gets an id to report, the log gets the traceback."""
    identifier = getattr(request, "request_id", "")
    log.error("%s %s failed, request %s", request.method, request.path, identifier, exc_info=error)
    return answer(request, 500, "internal", f"Something went wrong in the panel. Tell an admin this id: {identifier}.")


def method_not_allowed(request: HttpRequest, response: HttpResponseNotAllowed) -> JsonResponse:
    """Ninja's own answer is text."""
    allowed = response["Allow"]
    told = answer(request, 405, "method_not_allowed", f"{request.method} is not for this path; it takes {allowed}.")
    told["Allow"] = allowed
    return told


def _invalid(request: HttpRequest, error: ValidationError) -> JsonResponse:
    fields: dict[str, list[object]] = {}
    for fault in error.errors:
        fields.setdefault(_place(fault["loc"]), []).append(fault["msg"])
    told = "; ".join(f"{name}: {texts[0]}" for name, texts in fields.items())
    return refused(request, Invalid(_shortened(told), fields=fields))


def _place(location: Sequence[object]) -> str:
    """ "args.0" out of ("body", "payload", "args", 0): the names of ours mean nothing to the caller."""
    inner = location[2:] if location[0] == "body" else location[1:]
    return ".".join(str(part) for part in inner) or "body"


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _of_ninja(request: HttpRequest, error: HttpError) -> JsonResponse:
    code = "bad_json" if error.status_code == 400 else "refused"
    message = "The body is not JSON." if error.status_code == 400 else error.message
    return answer(request, error.status_code, code, message)


def _unavailable(request: HttpRequest, error: Exception) -> JsonResponse:
    log.warning("%s %s: %s", request.method, request.path, error)
    part = "database" if isinstance(error, (OperationalError, InterfaceError)) else "redis"
    response = refused(request, Unavailable(f"The panel's {part} does not answer now. Nothing was changed; try again."))
    response["Retry-After"] = "2"
    return response


Answer = Callable[[HttpRequest, Any], HttpResponse]

ANSWERS: dict[type[Exception], Answer] = {
    Refusal: refused,
    ValidationError: _invalid,
    HttpError: _of_ninja,
    Http404: lambda request, error: refused(request, NotFound()),
    RequestDataTooBig: lambda request, error: refused(request, TooLarge("The body is larger than one request may be.")),
    OperationalError: _unavailable,
    InterfaceError: _unavailable,
    RedisError: _unavailable,
    Exception: unexpected,
}
