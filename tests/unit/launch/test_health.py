"""What `make up` makes of /healthz."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator

import pytest

from opsweb.launch import health
from opsweb.launch.panel import Panel

PanelOf = Callable[..., Panel]


def test_each_part_that_is_late_is_named_with_its_reason() -> None:
    answer = {"ready": False, "parts": {"database": "ready", "worker": "has not come up yet"}}
    assert health.waiting_for(answer) == ["worker: has not come up yet"]


def test_nothing_is_waited_for_when_all_is_ready() -> None:
    assert health.waiting_for({"ready": True, "parts": {"database": "ready"}}) == []


def test_an_answer_that_is_not_ready_and_names_nobody_is_not_taken_for_ready() -> None:
    assert health.waiting_for({"ready": False, "parts": {}}) == ["panel: not ready"]
    assert health.waiting_for({}) == ["panel: not ready"]


@pytest.fixture
def web() -> Iterator[tuple[int, list[str]]]:
    """A web server whose second answer is ready; the Host headers that it got."""
    hosts: list[str] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hosts.append(self.headers["Host"])
            ready = len(hosts) > 1
            self.send_response(200 if ready else 503)
            self.end_headers()
            self.wfile.write(json.dumps({"ready": ready, "parts": {"worker": "ready" if ready else "late"}}).encode())

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port, hosts
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_asks_under_the_panels_own_name_until_all_is_ready(panel: PanelOf, web: tuple[int, list[str]]) -> None:
    port, hosts = web
    assert health.wait(panel(OPSWEB_PORT=str(port), OPSWEB_URL="https://panel.example"), 10, lambda line: None) == []
    assert hosts == ["panel.example"] * 2


def test_it_gives_up_in_time_and_says_what_is_missing(panel: PanelOf) -> None:
    assert health.wait(panel(OPSWEB_PORT="1"), 0, lambda line: None) == ["web: does not answer yet"]
