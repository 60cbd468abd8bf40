"""The fake panel's console socket: replay from an offset, then live, never a window ahead of what was acknowledged."""

import json
import socket
import struct
import threading
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.sync.server import ServerConnection

from tests.unit.cli.fake_state import TOKEN, State, Vm

CHUNK = 4096


def serve_console(connection: socket.socket, state: State) -> None:
    """Answer one websocket on an accepted connection, until either side ends it."""
    served = ServerConnection(connection, ServerProtocol(), SimpleNamespace(socket_closed=threading.Event()), close_timeout=1)  # type: ignore[arg-type]
    served.handshake(lambda _, request: _judge(served, request, state))
    if served.request is None or served.response is None or served.response.status_code != 101:
        return
    vm = state.vms[served.request.path.split("/")[3]]
    viewer = _Viewer(served, connection, vm, state)
    with suppress(ConnectionClosed, OSError):
        viewer.run()
    vm.viewers.remove(viewer)
    served.close()


def _judge(served: ServerConnection, request: Request, state: State) -> Response | None:
    state.record("WS", request.path, None)
    known = request.path.split("/")[3] in state.vms and request.headers.get("Authorization") == f"Bearer {TOKEN}"
    return None if known and "Origin" not in request.headers else served.respond(403, "no")


class _Viewer:
    def __init__(self, served: ServerConnection, connection: socket.socket, vm: Vm, state: State) -> None:
        self.served, self.connection, self.vm, self.state = served, connection, vm, state
        opened = json.loads(served.recv())
        state.record("OPEN", vm.id, opened)
        self.position = vm.kept_from if opened["from"] is None else int(opened["from"])
        self.window, self.acknowledged = int(opened["window"]), self.position
        self.taken = not vm.writer and not any(viewer.taken for viewer in vm.viewers)
        vm.viewers.append(self)

    def run(self) -> None:
        self.say("hello", start=self.vm.kept_from, end=len(self.vm.console))
        threading.Thread(target=self.hear, daemon=True).start()
        label = self.vm.state
        while True:
            self.served.ping()  # a closed socket raises
            if self.vm.state != label:
                label = self.vm.state
                self.say("state", state=label, label=label.capitalize())
            self.send()

    def may_send(self) -> bool:
        return self.position < len(self.vm.console) and self.position - self.acknowledged < self.window

    def send(self) -> None:
        if self.position < self.vm.kept_from:
            self.say("gap", **{"from": self.position, "to": self.vm.kept_from})
            self.position = self.acknowledged = self.vm.kept_from
        while self.may_send():
            data = bytes(self.vm.console[self.position : self.position + CHUNK])
            if 0 < self.state.cut_console_after <= self.position + len(data):
                self.state.cut_console_after = 0
                self.connection.shutdown(socket.SHUT_RDWR)
            self.served.send(struct.pack(">Q", self.position) + data)
            self.position += len(data)

    def hear(self) -> None:
        with suppress(ConnectionClosed, OSError):
            while True:
                self.obey(json.loads(self.served.recv()))

    def obey(self, message: dict[str, Any]) -> None:
        with self.vm.changed:
            if message["type"] == "ack":
                self.acknowledged = message["offset"]
            elif message["type"] == "write" and self.taken:
                self.vm.typed += message["data"]
            elif message["type"] == "take":
                self.vm.writer = "olga"
                for viewer in self.vm.viewers:
                    viewer.taken = viewer is self
                    with suppress(ConnectionClosed, OSError):
                        viewer.say("writer")
            self.vm.changed.notify_all()

    def say(self, kind: str, **facts: Any) -> None:
        roles = {"viewers": 1, "writer": self.vm.writer or "olga", "you_write": self.taken, "may_write": True}
        self.served.send(json.dumps({"type": kind, **(roles if kind in ("hello", "writer") else {}), **facts}))
