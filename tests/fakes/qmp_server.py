"""A QMP server that follows a script, on a unix socket: QMP code is tested without QEMU."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}, "capabilities": []}}
HANG = "hang"  # as an answer: none; the connection stays open
CLOSE = "close"  # as an answer: the connection ends


class ScriptedQmp:
    """Answers each command with the next answer that its script has for it; the last one is repeated."""

    def __init__(self, path: Path, script: dict[str, list[Any]], greeting: Any = GREETING) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._script, self._greeting = {"qmp_capabilities": [{}], **script}, greeting
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._clients: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it with all its connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for client in self._clients:
            client.close()
        self._thread.join(5)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._clients.append(client)
            with suppress(OSError):  # the client hung up, as it may at any time
                if self._greeting is not HANG:
                    self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        _send(client, self._greeting)
        for command in _commands(client):
            self.heard.append((command["execute"], command.get("arguments", {})))
            answer = self._next(command["execute"])
            if answer is CLOSE:
                client.shutdown(socket.SHUT_RDWR)
                return
            if answer is HANG:
                return
            key = "error" if isinstance(answer, dict) and "class" in answer else "return"
            _send(client, {key: answer, **({"id": command["id"]} if "id" in command else {})})

    def _next(self, command: str) -> Any:
        answers = self._script.get(command, [{"class": "CommandNotFound", "desc": f"The command {command} has not been found"}])
        return answers.pop(0) if len(answers) > 1 else answers[0]


def _commands(client: socket.socket) -> Iterator[dict[str, Any]]:
    """The JSON objects that come in; QMP puts nothing between them."""
    decoder, text = json.JSONDecoder(), ""
    while data := client.recv(65536):
        text = (text + data.decode()).lstrip()
        while text:
            try:
                command, end = decoder.raw_decode(text)
            except ValueError:  # not whole yet
                break
            text = text[end:].lstrip()
            yield command


def _send(client: socket.socket, message: Any) -> None:
    client.sendall(json.dumps(message).encode() + b"\r\n")


@contextmanager
def scripted_qmp(path: Path, greeting: Any = GREETING, **script: Any) -> Iterator[ScriptedQmp]:
    """A server at `path`; `query_status=[...]` are the answers to query-status, one after the other."""
    server = ScriptedQmp(path, {name.replace("_", "-"): answers for name, answers in script.items()}, greeting)
    try:
        yield server
    finally:
        server.close()
