"""core.middleware: an id, the panel's own name, the content security policy, refusals as pages."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.views.defaults import page_not_found

from opsweb.core import middleware
from opsweb.core.errors import Conflict, Forbidden, NotFound, Unauthenticated


def handle(request: HttpRequest, wrap: Callable[[middleware.Handler], middleware.Handler]) -> HttpResponse:
    return wrap(lambda _: HttpResponse("page"))(request)


class TestRequestId:
    @pytest.mark.parametrize("given", ["abcd1234", "a-request-of-mine-1234"])
    def test_a_harmless_one_is_kept(self, rf: RequestFactory, given: str) -> None:
        assert handle(rf.get("/", headers={"X-Request-ID": given}), middleware.request_id)["X-Request-ID"] == given

    @pytest.mark.parametrize("given", ["", "short", "x" * 41, "has space", "line\nbreak12", "<script>abc"])
    def test_any_other_is_replaced(self, rf: RequestFactory, given: str) -> None:
        """SEC-H2: it ends up in logs and pages."""
        made = handle(rf.get("/", headers={"X-Request-ID": given}), middleware.request_id)["X-Request-ID"]
        assert re.fullmatch(r"[0-9a-f]{16}", made)


class TestPanelName:
    def ask(self, host: str, method: str = "GET", path: str = "/instances/?a=b", **headers: str) -> HttpResponse:
        request = RequestFactory().generic(method, path, headers={"Host": host, **headers})
        return handle(request, middleware.panel_name)

    def test_its_own_name_is_let_through(self) -> None:
        assert self.ask("testserver").content == b"page"

    @pytest.mark.parametrize("host", ["127.0.0.1", "testserver:8088", "evil.example", "testserver.evil.example"])
    def test_any_other_name_is_sent_there(self, host: str) -> None:
        """Cookies know no ports, and guests live under other names."""
        answer = self.ask(host)
        assert (answer.status_code, answer["Location"]) == (302, "http://testserver/instances/?a=b")

    @pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example/", "///evil.example", "/%2f/evil.example"])
    def test_nobody_is_sent_off_site(self, path: str) -> None:
        """SEC-A5."""
        assert self.ask("127.0.0.1", path=path)["Location"].startswith("http://testserver/")

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
    def test_what_changes_something_is_not_redirected(self, method: str) -> None:
        assert self.ask("127.0.0.1", method).status_code == 421

    def test_a_token_and_health_need_no_name(self) -> None:
        assert self.ask("127.0.0.1", "POST", "/api/v1/instances/", Authorization="Bearer x").content == b"page"
        assert self.ask("127.0.0.1", path="/healthz").content == b"page"
        assert self.ask("127.0.0.1", path="/api/v1/instances/").status_code == 302


class TestPolicy:
    def test_no_inline_and_no_other_origin(self, rf: RequestFactory) -> None:
        """SEC-H3."""
        policy = handle(rf.get("/"), middleware.content_security_policy)["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        for rule in ("object-src 'none'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'"):
            assert rule in policy

    def test_the_admin_alone_has_another(self, rf: RequestFactory) -> None:
        assert "unsafe-inline" in handle(rf.get("/admin/"), middleware.content_security_policy)["Content-Security-Policy"]
        assert "unsafe" not in handle(rf.get("/administration"), middleware.content_security_policy)["Content-Security-Policy"]

    def test_every_answer_carries_the_headers(self, db: None) -> None:
        for path in ("/sign-in/", "/nowhere/", "/api/v1/me/"):
            answer = Client().get(path)
            assert answer["X-Content-Type-Options"] == "nosniff"
            assert answer["X-Frame-Options"] == "DENY"
            assert answer["Referrer-Policy"] == "same-origin"
            assert "Content-Security-Policy" in answer
            assert "X-Request-ID" in answer


class TestRefusals:
    def page(self, error: Exception) -> HttpResponse | None:
        request = RequestFactory().get("/instances/")
        request.user = User(username="olga")
        return middleware.RefusalPages(lambda _: HttpResponse()).process_exception(request, error)

    @pytest.mark.parametrize("error", [NotFound(), Forbidden("You may not."), Conflict("Busy & <b>late</b>.")])
    def test_a_refusal_is_a_page_with_its_sentence(self, db: None, error: Conflict) -> None:
        answer = self.page(error)
        assert answer is not None
        assert answer.status_code == error.status
        assert b"<b>late</b>" not in answer.content

    def test_nobody_is_sent_to_sign_in(self) -> None:
        answer = self.page(Unauthenticated("Sign in."))
        assert answer is not None
        assert (answer.status_code, answer["Location"]) == (302, "/sign-in/")

    def test_mistakes_are_left_to_django(self) -> None:
        assert self.page(ZeroDivisionError()) is None

    def test_not_found_has_a_page(self, rf: RequestFactory, db: None) -> None:
        request = rf.get("/nowhere/")
        request.user = User(username="olga")
        assert page_not_found(request, Exception()).status_code == 404


class TestWriters:
    def test_only_so_many_write_at_once(self, rf):
        inside, most, lock = 0, 0, threading.Lock()
        full = threading.Barrier(middleware.WRITERS, timeout=20)  # each waits until all that may be inside are

        def view(request):
            nonlocal inside, most
            with lock:
                inside += 1
                most = max(most, inside)
            full.wait()
            with lock:
                inside -= 1
            return HttpResponse()

        handler = middleware.few_writers(view)
        with ThreadPoolExecutor(4 * middleware.WRITERS) as pool:
            list(pool.map(lambda _: handler(rf.post("/")), range(4 * middleware.WRITERS)))
        assert most == middleware.WRITERS

    def test_who_reads_waits_for_no_writer(self, rf):
        at_once = middleware.WRITERS + 3
        together = threading.Barrier(at_once, timeout=20)
        handler = middleware.few_writers(lambda request: HttpResponse(str(together.wait())))
        with ThreadPoolExecutor(at_once) as pool:
            assert len(list(pool.map(lambda _: handler(rf.get("/")), range(at_once)))) == at_once

    def test_a_view_that_raises_gives_its_turn_back(self, rf):
        handler = middleware.few_writers(lambda request: HttpResponse(str(1 // 0)))
        for _ in range(middleware.WRITERS + 1):
            with pytest.raises(ZeroDivisionError):
                handler(rf.post("/"))
