"""Makes the API object: who may come in, how refusals look, where the description is. Called by the package alone."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import URLPattern
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI, Router
from ninja.openapi.docs import Swagger
from ninja.openapi.schema import OpenAPISchema

from instances.api.errors import ANSWERS, Refused, method_not_allowed, refused, unexpected
from opsweb.core.errors import NotFound, Refusal, Unauthenticated
from opsweb.teams.actors import actor_of, bearer
from opsweb.teams.api.auth import BearerToken, SessionCookie

View = Callable[..., HttpResponse]

DESCRIPTION = (
    "Everything the panel's pages and the `opsweb` command do. Send `Authorization: Bearer ow_…`, or the session's cookie and, for unsafe "
    "methods, its CSRF token as `X-CSRFToken`. Changes that take time answer 202 with the operation and its `Location`. Every refusal is "
    '`{"code", "message", "fields", "request_id"}`.'
)


REFUSED = {
    "description": "Refused; `code` is for programs and `message` for people.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refused"}}},
}


class PanelAPI(NinjaAPI):
    """Ninja's API behind our own door."""

    @property
    def urls(self) -> Any:
        """Ninja's patterns; whatever their views raise or refuse becomes our one form of answer."""
        patterns, app, namespace = super().urls
        for pattern in patterns:
            assert isinstance(pattern, URLPattern)
            pattern.callback = _door(pattern.callback)
        return patterns, app, namespace

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        """Ninja's description, with the one form of refusal at each operation."""
        schema = super().get_openapi_schema(**options)
        schema["components"]["schemas"]["Refused"] = Refused.model_json_schema()
        for operation in (operation for path in schema["paths"].values() for operation in path.values()):
            operation["responses"]["default"] = REFUSED
        return schema


def make_api() -> PanelAPI:
    """The API, still without routes."""
    api = PanelAPI(
        title="opsweb",
        version="1",
        description=DESCRIPTION,
        urls_namespace="api",
        auth=[BearerToken(), SessionCookie()],
        docs=Swagger(settings={"validatorUrl": None}),  # its default sends the description to another origin
        docs_decorator=_known_only,
    )
    for kind, answer in ANSWERS.items():
        api.add_exception_handler(kind, answer)
    return api


nowhere_else = Router()  # to be added last: it takes every path


@nowhere_else.api_operation(["GET", "POST", "PUT", "PATCH", "DELETE"], "{path:rest}", include_in_schema=False)
def nowhere(request: HttpRequest, rest: str) -> None:
    """Every path that no route has. Raises: NotFound."""
    raise NotFound(f"/api/v1/{rest[:80]} is no path of this API. Paths end with a slash; /api/v1/docs lists them.")


def _door(view: View) -> View:
    """No redirect to the sign-in page, CSRF by `auth`, and no answer that is not JSON."""

    @login_not_required
    @csrf_exempt
    @wraps(view, updated=())
    def guarded(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        try:
            response = view(request, *args, **kwargs)
        except Refusal as error:
            return refused(request, error)
        except Http404:
            return refused(request, NotFound())
        except Exception as error:  # noqa: BLE001  # the last line: logged with its traceback
            return unexpected(request, error)
        return method_not_allowed(request, response) if isinstance(response, HttpResponseNotAllowed) else response

    return guarded


def _known_only(view: View) -> View:
    """The description is for people and programs of this panel."""

    def known(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        try:
            actor_of(request)
        except Unauthenticated:
            if bearer(request) or "text/html" not in request.headers.get("Accept", ""):
                raise
            return redirect_to_login(request.get_full_path())
        return view(request, *args, **kwargs)

    return known
