"""The fake panel's REST side, by the contract of docs/architecture.md; console sockets on the same port go to fake_console."""

import json
import re
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.unit.cli.fake_console import serve_console
from tests.unit.cli.fake_state import TOKEN, Answer, State, Vm, refuse

Query = dict[str, str]
LONG_POLL = 0.5  # seconds, at most


class FakePanel(ThreadingHTTPServer):
    """Listens on a free port of loopback until closed."""

    daemon_threads = True

    def __init__(self, state: State) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.state = state
        self.url = f"http://127.0.0.1:{self.server_port}"

    def finish_request(self, request: Any, client_address: Any) -> None:
        head = _peek(request)
        if b"upgrade: websocket" in head.lower():
            serve_console(request, self.state)
        elif head:
            super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is gone is what these tests are about; anything else is a mistake of the fake."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _peek(request: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        more = request.recv(65536, socket.MSG_PEEK)
        if len(more) <= len(head):
            return more
        head = more
    return head


class Handler(BaseHTTPRequestHandler):
    """One request: find the route, answer JSON or bytes."""

    server: FakePanel
    protocol_version = "HTTP/1.0"
    wbufsize = -1  # head and body in one segment: two would wait for each other (Nagle)

    def log_message(self, *_: object) -> None:
        """The tests look at State.requests."""

    def do_GET(self) -> None:
        """The name is http.server's; the other methods are the same."""
        self._handle()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def _handle(self) -> None:
        method = self.command
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        state = self.server.state
        body = raw if self.headers.get("Content-Type") == "application/octet-stream" else json.loads(raw or b"null")
        path = parts.path.removeprefix("/api/v1/")
        try:
            state.before(f"{method} {path}")
            state.record(method, path, body)
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                raise refuse(401, "unauthenticated", "Sign in, or send a token.")
            status, answer = self._route(method, path)(Request(state, query, body, self.headers))
        except Answer as answered:
            status, answer = answered.status, answered.body
        except ConnectionResetError:
            self.connection.close()
            return
        self._send(status, answer)

    def _route(self, method: str, path: str) -> Callable[["Request"], tuple[int, Any]]:
        for verb, pattern, handler in ROUTES:
            found = re.fullmatch(pattern, path)
            if verb == method and found:
                return lambda request: handler(request, *found.groups())
        raise refuse(404, "not_found", f"no route {method} {path}")

    def _send(self, status: int, answer: Any) -> None:
        data, headers = answer if isinstance(answer, tuple) else (b"" if answer is None else json.dumps(answer).encode(), {})
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


class Request:
    """What a handler gets."""

    def __init__(self, state: State, query: Query, body: Any, headers: Any) -> None:
        self.state, self.query, self.body, self.headers = state, query, body, headers


def _listing(request: Request, items: list[dict[str, Any]]) -> tuple[int, Any]:
    wanted = [item for item in items if request.query.get("name", item.get("name")) == item.get("name")]
    wanted = [item for item in wanted if request.query.get("team", item.get("team")) == item.get("team")]
    start = int(request.query.get("offset", 0))
    return 200, {"items": wanted[start : start + int(request.query.get("limit", 50))], "count": len(wanted)}


def me(request: Request) -> tuple[int, Any]:
    amounts = {"instances": 10, "vcpus": 20, "memory_mib": 8192, "networks": 5, "addresses": 64, "forwards": 100, "rules": 200}
    team = {"name": "demo", "role": "operator", "quota": amounts, "used": dict.fromkeys(amounts, 1)}
    return 200, {"user": "olga", "superuser": False, "teams": [team], "version": "0.1.0", "default_team": "demo"}


def begin_upload(request: Request) -> tuple[int, Any]:
    identifier = f"up-{len(request.state.uploads)}"
    request.state.uploads[identifier] = {"size": request.body["size"], "filename": request.body["filename"], "data": b""}
    return 201, {"id": identifier, "received": 0, "size": request.body["size"], "chunk_size": request.state.chunk_size}


def _upload(request: Request, identifier: str) -> dict[str, Any]:
    found = request.state.uploads.get(identifier)
    if found is None:
        raise refuse(404, "not_found", "There is nothing here.")
    return found


def append(request: Request, identifier: str) -> tuple[int, Any]:
    found = _upload(request, identifier)
    if int(request.headers["Upload-Offset"]) != len(found["data"]):
        raise refuse(409, "upload_offset", "Go on from there.", received=[len(found["data"])])
    found["data"] += request.body
    return standing(request, identifier)


def standing(request: Request, identifier: str) -> tuple[int, Any]:
    found = _upload(request, identifier)
    return 200, {"id": identifier, "received": len(found["data"]), "size": found["size"]}


def cancel_upload(request: Request, identifier: str) -> tuple[int, Any]:
    _upload(request, identifier)
    del request.state.uploads[identifier]
    return 204, None


def images(request: Request) -> tuple[int, Any]:
    return _listing(request, list(request.state.images.values()))


def create_image(request: Request) -> tuple[int, Any]:
    image = request.state.image(request.body["name"], state="building")
    operation = request.state.operation("build", image["name"], request.state.build_error)
    return 202, {"image": image, "operation": operation, "notes": [{"field": "Klibs", "note": "not needed here"}]}


def image(request: Request, identifier: str) -> tuple[int, Any]:
    found = request.state.images.get(identifier)
    if found is None:
        raise refuse(404, "not_found", "There is nothing here.")
    found["state"] = "ready"
    return 200, found


def delete_image(request: Request, identifier: str) -> tuple[int, Any]:
    image(request, identifier)
    if request.state.images[identifier]["in_use_by"]:
        raise refuse(409, "in_use", "Image is used by web1. Delete that first.")
    return 202, {"operation": request.state.operation("delete", request.state.images.pop(identifier)["name"])}


def instances(request: Request) -> tuple[int, Any]:
    return _listing(request, [vm.shown() for vm in request.state.vms.values()])


def create_instance(request: Request) -> tuple[int, Any]:
    state, body = request.state, request.body
    if any(vm.body["name"] == body["name"] for vm in state.vms.values()):
        raise refuse(409, "name_taken", f"The team has an instance called {body['name']}.")
    if "1" in (body.get("ports") or []):
        raise refuse(422, "invalid", "This can not be forwarded.", ports=["Port 1 is reserved."])
    vm = state.vm(body["name"], body=body)
    threading.Thread(target=state.program, args=(vm,), daemon=True).start()
    return 202, {"instance": vm.shown(), "operation": state.operation("start", body["name"], state.start_error), "notes": []}


def _vm(request: Request, identifier: str) -> Vm:
    found = request.state.vms.get(identifier)
    if found is None:
        raise refuse(404, "not_found", "There is nothing here, or it is not yours to see.")
    return found


def instance(request: Request, identifier: str) -> tuple[int, Any]:
    vm, what = _vm(request, identifier), request.query.get("wait_for", "")
    true = bool(what) and vm.wait_until(
        lambda: vm.is_true(what) or vm.id not in request.state.vms, min(float(request.query["timeout"]), LONG_POLL)
    )
    _vm(request, identifier)
    return 200, {**vm.shown(), **({"waited_for": true} if what else {})}


def act(request: Request, identifier: str) -> tuple[int, Any]:
    vm, verb = _vm(request, identifier), request.body["verb"]
    if request.state.refuse_verb:
        raise request.state.refuse_verb
    with vm.changed:
        vm.verbs.append(verb)
        vm.changed.notify_all()
    if verb in ("stop", "force-off") and vm.stops_at_verb:
        vm.ends(reason="request")
    return 202, {"operation": request.state.operation(verb, vm.body["name"])}


def delete_instance(request: Request, identifier: str) -> tuple[int, Any]:
    vm = _vm(request, identifier)
    with vm.changed:
        del request.state.vms[identifier]
        vm.changed.notify_all()
    return 202, {"operation": request.state.operation("delete", vm.body["name"])}


def console(request: Request, identifier: str) -> tuple[int, Any]:
    vm = _vm(request, identifier)
    start = max(int(request.query.get("from", vm.kept_from)), vm.kept_from)
    data = bytes(vm.console[start : start + min(int(request.query.get("limit", 4096)), 4096)])
    headers = {"Content-Type": "application/octet-stream", "Console-Start": str(vm.kept_from), "Console-End": str(len(vm.console))}
    return 200, (data, {**headers, "Console-Next": str(start + len(data))})


def operations(request: Request) -> tuple[int, Any]:
    return 200, {"items": list(request.state.operations.values()), "count": len(request.state.operations)}


def operation(request: Request, identifier: str) -> tuple[int, Any]:
    if identifier not in request.state.operations:
        raise refuse(404, "not_found", "There is nothing here.")
    return 200, request.state.settle(request.state.operations[identifier])


def check(request: Request) -> tuple[int, Any]:
    if isinstance(request.state.config_check, Answer):
        raise request.state.config_check
    if "0" in (request.body.get("ports") or []):
        raise refuse(422, "bad_port", '0 in "0" is no port. Ports go from 1 to 65535.', ports=["no port"])
    return 200, request.state.config_check


def networks(request: Request) -> tuple[int, Any]:
    return _listing(request, list(request.state.networks.values()))


def create_network(request: Request) -> tuple[int, Any]:
    body = {name: value for name, value in request.body.items() if name in ("name", "mode", "mtu", "team")}
    made = request.state.network(**{"name": f"br{len(request.state.networks)}", **body})
    return 202, {"network": made, "operation": request.state.operation("create", made["name"], request.state.network_error)}


def preview(request: Request) -> tuple[int, Any]:
    return 200, {"name": "br0", "warnings": [], "sections": request.state.preview}


def _network(request: Request, identifier: str) -> dict[str, Any]:
    found = request.state.networks.get(identifier)
    if found is None:
        raise refuse(404, "not_found", "There is nothing here, or it is not yours to see.")
    return found


def network(request: Request, identifier: str) -> tuple[int, Any]:
    return 200, _network(request, identifier)


def edit_network(request: Request, identifier: str) -> tuple[int, Any]:
    found = _network(request, identifier)
    found.update({name: value for name, value in request.body.items() if name in found})
    return 202, {"network": found, "operation": request.state.operation("edit", found["name"])}


def delete_network(request: Request, identifier: str) -> tuple[int, Any]:
    if _network(request, identifier)["nics"]:
        raise refuse(409, "in_use", "Network br0 is used by web1. Delete that first.")
    return 202, {"operation": request.state.operation("delete", request.state.networks.pop(identifier)["name"])}


def act_on_network(request: Request, identifier: str) -> tuple[int, Any]:
    return 202, {"operation": request.state.operation(request.body["verb"], _network(request, identifier)["name"])}


def leases(request: Request, identifier: str) -> tuple[int, Any]:
    _network(request, identifier)
    return 200, {"items": request.state.leases, "count": len(request.state.leases)}


def rules(request: Request, identifier: str) -> tuple[int, Any]:
    found = request.state.rules.get(identifier, [])
    return 200, {"items": [{"ports": "", "peer": "", "packets": 7, **rule} for rule in found], "count": len(found)}


def set_rules(request: Request, identifier: str) -> tuple[int, Any]:
    request.state.rules[identifier] = request.body["rules"]
    return rules(request, identifier)


ROUTES: list[tuple[str, str, Callable[..., tuple[int, Any]]]] = [
    ("GET", "me/", me),
    ("POST", "uploads/", begin_upload),
    ("PUT", "uploads/([^/]+)/", append),
    ("GET", "uploads/([^/]+)/", standing),
    ("DELETE", "uploads/([^/]+)/", cancel_upload),
    ("GET", "images/", images),
    ("POST", "images/", create_image),
    ("GET", "images/([^/]+)/", image),
    ("DELETE", "images/([^/]+)/", delete_image),
    ("GET", "instances/", instances),
    ("POST", "instances/", create_instance),
    ("GET", "instances/([^/]+)/", instance),
    ("DELETE", "instances/([^/]+)/", delete_instance),
    ("POST", "instances/([^/]+)/actions/", act),
    ("GET", "instances/([^/]+)/console/", console),
    ("GET", "operations/", operations),
    ("GET", "operations/([^/]+)/", operation),
    ("POST", "config/check", check),
    ("GET", "networks/", networks),
    ("POST", "networks/", create_network),
    ("POST", "networks/preview/", preview),
    ("GET", "networks/([^/]+)/", network),
    ("PATCH", "networks/([^/]+)/", edit_network),
    ("DELETE", "networks/([^/]+)/", delete_network),
    ("POST", "networks/([^/]+)/actions/", act_on_network),
    ("GET", "networks/([^/]+)/leases/", leases),
    ("GET", "(?:networks|instances)/([^/]+)/rules/", rules),
    ("PUT", "(?:networks|instances)/([^/]+)/rules/", set_rules),
]
