"""What each request passes: who it is, CSRF, one form of refusal, nothing that is not JSON, the description."""

import json
import logging
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from instances.api import instances as routes
from instances.models import Instance
from opsweb.core.access import SYSTEM
from opsweb.core.models import AuditEntry, Operation
from opsweb.teams.models import Token
from opsweb.teams.services import create_token
from tests.conftest import nothing_changes

ApiOf = Callable[..., Any]
FORM = {"code", "message", "fields", "request_id"}


def refusal(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The body, once it is of our form."""
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["code"]) == (status, code)
    assert set(body) == FORM
    assert body["request_id"] == answer["X-Request-ID"]
    assert body["message"]
    return body


class TestTokens:
    def test_a_token_is_enough(self, api: ApiOf, olga: User, running: Instance) -> None:
        assert api(olga, scopes="read write").get(f"instances/{running.pk}/").status_code == 200

    def test_its_use_is_kept_to_the_minute(self, api: ApiOf, olga: User) -> None:
        client = api(olga, scopes="read")
        client.get("me/")
        first = Token.objects.get().last_used_at
        client.get("me/")
        assert first is not None
        assert Token.objects.get().last_used_at == first

    def test_a_read_only_token_changes_nothing(self, api: ApiOf, ana: User, running: Instance) -> None:
        with nothing_changes(Instance, Operation):
            answer = api(ana, scopes="read").post(f"instances/{running.pk}/actions/", {"verb": "stop"})
        assert "write" in refusal(answer, 403, "forbidden")["message"]

    def test_a_write_only_token_reads_nothing(self, api: ApiOf, ana: User, running: Instance) -> None:
        client = api(ana, scopes="write")
        assert client.get("instances/").json()["count"] == 0
        refusal(client.get(f"instances/{running.pk}/"), 404, "not_found")

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda token: token.delete(),
            lambda token: Token.objects.update(expires_at=timezone.now() - timedelta(seconds=1)),
            lambda token: User.objects.update(is_active=False),
        ],
    )
    def test_a_dead_one_is_refused(self, olga: User, spoil: Callable[[Token], Any]) -> None:
        """SEC-A2."""
        secret = create_token(olga, "laptop", actor=SYSTEM)
        spoil(Token.objects.get())
        answer = Client(headers={"Authorization": f"Bearer {secret}"}).get("/api/v1/me/")
        refusal(answer, 401, "unauthenticated")
        assert answer["WWW-Authenticate"] == "Bearer"

    @pytest.mark.parametrize("header", ["Bearer ow_guess", "Bearer x", "bearer  ", "Bearer", "Basic b2xnYTp4", "ow_guess", "Bearer \xff"])
    def test_nonsense_is_refused(self, olga: User, header: str) -> None:
        refusal(Client(headers={"Authorization": header}).get("/api/v1/me/"), 401, "unauthenticated")

    def test_a_bad_token_is_not_saved_by_a_cookie(self, signed_in: Callable[[User], Client], olga: User) -> None:
        refusal(signed_in(olga).get("/api/v1/me/", headers={"Authorization": "Bearer ow_guess"}), 401, "unauthenticated")

    def test_the_token_is_in_no_log(self, olga: User, caplog: pytest.LogCaptureFixture) -> None:
        """SEC-A4."""
        secret = create_token(olga, "laptop", actor=SYSTEM)
        with caplog.at_level(logging.DEBUG):
            Client(headers={"Authorization": f"Bearer {secret}"}).get("/api/v1/nowhere/")
        assert secret not in caplog.text
        assert secret[3:] not in json.dumps(list(AuditEntry.objects.values()), default=str)


class TestSessions:
    def browser(self, user: User) -> Client:
        client = Client(enforce_csrf_checks=True)
        client.force_login(user)
        return client

    @pytest.mark.parametrize("header", ["bearer ", "Basic x", "Bearer"])
    def test_an_unsafe_request_needs_the_csrf_token(self, olga: User, running: Instance, header: str) -> None:
        """SEC-H1: whatever an Authorization header pretends."""
        for headers in ({}, {"Authorization": header}):
            with nothing_changes(Instance, Operation):
                answer = self.browser(olga).post(
                    f"/api/v1/instances/{running.pk}/actions/", {"verb": "stop"}, content_type="application/json", headers=headers
                )
            refusal(answer, 403, "csrf")

    def test_with_the_csrf_token_it_works(self, olga: User, running: Instance, sent: Any) -> None:
        client = self.browser(olga)
        client.cookies["opsweb_csrf"] = secret = "a" * 32
        answer = client.post(
            f"/api/v1/instances/{running.pk}/actions/", {"verb": "stop"}, content_type="application/json", headers={"X-CSRFToken": secret}
        )
        assert answer.status_code == 202

    def test_a_token_needs_none(self, olga: User, running: Instance, sent: Any) -> None:
        secret = create_token(olga, "laptop", actor=SYSTEM)
        client = Client(enforce_csrf_checks=True, headers={"Authorization": f"Bearer {secret}"})
        assert client.delete(f"/api/v1/instances/{running.pk}/").status_code == 202

    def test_nobody_is_told_so_before_anything_else(self, running: Instance) -> None:
        answer = Client(enforce_csrf_checks=True).post(f"/api/v1/instances/{running.pk}/actions/", "{", content_type="application/json")
        refusal(answer, 401, "unauthenticated")

    def test_a_disabled_person_is_out(self, api: ApiOf, olga: User) -> None:
        client = api(olga)
        User.objects.update(is_active=False)
        refusal(client.get("me/"), 401, "unauthenticated")


class TestFailures:
    def test_our_mistakes_come_with_an_id_and_a_traceback_in_the_log(
        self, api: ApiOf, vic: User, running: Instance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(*_: object) -> None:
            raise ZeroDivisionError("secret detail")

        monkeypatch.setattr(routes, "instance_out", broken)
        answer = api(vic).get(f"instances/{running.pk}/")
        identifier = refusal(answer, 500, "internal")["request_id"]
        assert b"secret detail" not in answer.content
        assert identifier in caplog.text
        assert "ZeroDivisionError: secret detail" in caplog.text

    @pytest.mark.parametrize("text", ["database is locked", "disk I/O error", "attempt to write a readonly database"])
    def test_a_database_that_does_not_answer_is_unavailable(
        self, api: ApiOf, olga: User, running: Instance, monkeypatch: pytest.MonkeyPatch, text: str
    ) -> None:
        """INV-20."""

        def locked(*_: object, **__: object) -> None:
            raise OperationalError(text)

        monkeypatch.setattr(routes.power, "request", locked)
        answer = api(olga).post(f"instances/{running.pk}/actions/", {"verb": "stop"})
        refusal(answer, 503, "unavailable")
        assert answer["Retry-After"] == "2"

    def test_the_callers_own_id_is_kept_when_it_is_harmless(self, api: ApiOf, vic: User) -> None:
        assert api(vic)("GET", "nowhere/", **{"X-Request-ID": "my-request-1"}).json()["request_id"] == "my-request-1"
        assert api(vic)("GET", "nowhere/", **{"X-Request-ID": "<script>"}).json()["request_id"] != "<script>"

    @pytest.mark.parametrize("path", ["", "nowhere/", "instances/7/", "instances/7/actions/", "me", "instances//", "%00/", "\N{SNOWMAN}/"])
    def test_no_path_of_ours_is_not_found(self, api: ApiOf, ana: User, path: str) -> None:
        for method in ("GET", "POST", "DELETE"):
            refusal(api(ana)(method, path), 404, "not_found")

    def test_nobody_learns_which_paths_there_are(self, api: ApiOf) -> None:
        for path in ("me/", "nowhere/", "instances/"):
            refusal(api().get(path), 401, "unauthenticated")

    def test_a_wrong_method_names_the_right_ones(self, api: ApiOf, ana: User) -> None:
        answer = api(ana)("PUT", "me/")
        refusal(answer, 405, "method_not_allowed")
        assert answer["Allow"] == "GET"

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            (b"", 422, "invalid"),
            (b"{", 400, "bad_json"),
            (b"\xff\xfe", 400, "bad_json"),
            (b"[" * 200_000, 400, "bad_json"),
            (b"[]", 422, "invalid"),
            (b"null", 422, "invalid"),
            (b'"x"', 422, "invalid"),
            (b'{"verb": NaN}', 422, "invalid"),
            (b'{"verb": "\\ud800"}', 422, "invalid"),
            (b'{"verb": ' + b"9" * 5000 + b"}", 400, "bad_json"),
            (b" " * (10 * 1024**2), 413, "too_large"),
        ],
    )
    def test_a_hostile_body_is_refused(self, api: ApiOf, olga: User, running: Instance, body: bytes, status: int, code: str) -> None:
        """SEC-I1."""
        with nothing_changes(Instance, Operation):
            refusal(api(olga)("POST", f"instances/{running.pk}/actions/", body), status, code)


class TestDescription:
    def test_it_is_for_people_of_the_panel(self, api: ApiOf, vic: User) -> None:
        assert api(vic).get("openapi.json").status_code == 200
        assert api(vic, scopes="read").get("openapi.json").status_code == 200
        refusal(api().get("openapi.json"), 401, "unauthenticated")

    def test_a_browser_is_sent_to_the_sign_in_page_and_back(self, db: None) -> None:
        """SEC-A5: never elsewhere."""
        answer = Client().get("/api/v1/docs", headers={"Accept": "text/html"})
        assert answer.status_code == 302
        assert answer["Location"] == "/sign-in/?next=/api/v1/docs"

    def test_it_names_every_route_with_its_auth(self, api: ApiOf, vic: User) -> None:
        described = api(vic).get("openapi.json").json()
        assert set(described["components"]["securitySchemes"]) == {"BearerToken", "SessionCookie"}
        for path, methods in described["paths"].items():
            for method, facts in methods.items():
                assert facts["security"], (method, path)
                assert facts.get("description"), f"{method} {path} has no sentence"

    def test_it_tells_how_each_route_refuses(self, api: ApiOf, vic: User) -> None:
        described = api(vic).get("openapi.json").json()
        for methods in described["paths"].values():
            for facts in methods.values():
                assert facts["responses"]["default"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Refused"}
        assert set(described["components"]["schemas"]["Refused"]["properties"]) == FORM

    def test_the_page_works_under_our_policy(self, api: ApiOf, vic: User) -> None:
        """SEC-H3: no inline script or style, no other origin; what it loads is there."""
        page = api(vic).get("docs")
        text = page.content.decode()
        assert "'unsafe-inline'" not in page["Content-Security-Policy"]
        scripts = re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL)
        assert all("src=" in attributes or "application/json" in attributes for attributes, _ in scripts)
        assert not re.search(r"<style|\sstyle=|\son\w+=", text)
        loaded = re.findall(r'(?:src|href)="([^"]+)"', text)
        assert loaded
        for address in loaded:
            assert address.startswith("/static/")
            assert finders.find(address.removeprefix("/static/")), address
        assert '"validatorUrl": null' in text
