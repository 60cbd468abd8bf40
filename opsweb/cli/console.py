"""One viewer of one instance's console: bytes from an offset on, over a websocket that may break and goes on where it was.

Used by following (`run`, `logs -w`) and terminal (`console`). Protocol: docs/architecture.md, "Console".
"""

import codecs
import json
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from opsweb.cli.client import Json, Panel
from opsweb.cli.problems import Problem, Unreachable

WINDOW = 256 * 1024  # bytes that the panel may be ahead of what was written out
ACK_EVERY = WINDOW // 4
OFFSET_BYTES = 8
INPUT_CHARS = 4096  # one message of input
LIMIT = 1024 * 1024  # one read over HTTP
MAX_MESSAGE = 4 * 1024 * 1024
CLOSE_SECONDS = 2.0


@dataclass(frozen=True)
class Roles:
    """Who watches and who types."""

    writer: str = ""
    you_write: bool = False
    may_write: bool = False


class Console:
    """`sink` gets every byte once and in order; `notice` gets sentences; `changed` is told new roles and states."""

    def __init__(
        self,
        panel: Panel,
        instance: Json,
        *,
        offset: int | None,
        sink: Callable[[bytes], None],
        notice: Callable[[str], None],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._panel, self._id = panel, str(instance["id"])
        self._sink, self._notice, self._changed = sink, notice, changed
        self.offset = offset  # of the next byte; None until the panel said where its kept window begins
        self.roles = Roles()
        self.label = str(instance.get("label", ""))
        self.opened = threading.Event()
        self._acknowledged = 0
        self._socket: ClientConnection | None = None
        self._closing = threading.Event()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def pump(self) -> None:
        """Receive until `close`. Raises: Problem when the panel says no, or stays away."""
        while not self._closing.is_set():
            with ExitStack() as stack, suppress(ConnectionClosed):
                self._panel.patient(partial(self._connect, stack))
                self._receive()
            self._closing.wait(0.25)

    def close(self) -> None:
        """End `pump`, from another thread."""
        self._closing.set()
        if self._socket is not None:
            self._socket.close()

    def write(self, data: bytes) -> None:
        """Type into the guest. What can't be sent now is dropped: nothing is typed late."""
        text = self._decoder.decode(data)
        for at in range(0, len(text), INPUT_CHARS):
            self._tell({"type": "write", "data": text[at : at + INPUT_CHARS]})

    def take(self) -> None:
        """Become the one who types."""
        self._tell({"type": "take"})

    def read_rest(self) -> None:
        """Fetch what came after the last byte seen, over HTTP: what a guest printed as it ended is never lost."""
        window = self._panel.patient(lambda: read_window(self._panel, self._id, self.offset))
        while window.data:
            self._take_in(window.start, window.data)
            window = self._panel.patient(lambda: read_window(self._panel, self._id, self.offset))

    def _connect(self, stack: ExitStack) -> None:
        if self._closing.is_set():
            return
        url = "ws" + self._panel.url.removeprefix("http") + f"/ws/instances/{self._id}/console/"
        proxy = True if self._panel.through_proxy else None
        # fmt: off
        options: dict[str, Any] = {"additional_headers": self._panel.authorization, "compression": None, "proxy": proxy,
                                   "max_size": MAX_MESSAGE, "close_timeout": CLOSE_SECONDS}
        # fmt: on
        try:
            self._socket = stack.enter_context(connect(url, **options))
            self._socket.send(json.dumps({"type": "open", "from": self.offset, "window": WINDOW}))
        except InvalidStatus as error:
            self._panel.get(f"instances/{self._id}/")  # says better why: signed out, gone
            raise Unreachable(f"The console of the panel at {self._panel.url} refused with {error.response.status_code}.") from error
        except (OSError, WebSocketException) as error:
            raise Unreachable(f"The console of the panel at {self._panel.url} can't be reached: {error}.") from error

    def _receive(self) -> None:
        self._acknowledged = self.offset or 0
        # `close` may have come while the connection was made.
        while self._socket is not None and not self._closing.is_set():
            message = self._socket.recv()
            if isinstance(message, bytes):
                self._take_in(int.from_bytes(message[:OFFSET_BYTES], "big"), message[OFFSET_BYTES:])
                self._acknowledge()
            else:
                self._hear(json.loads(message))

    def _take_in(self, start: int, data: bytes) -> None:
        if self.offset is None:
            self.offset = start
        fresh = data[max(0, self.offset - start) :]
        if fresh:
            self._sink(fresh)
            self.offset = max(self.offset, start) + len(fresh)

    def _acknowledge(self) -> None:
        assert self.offset is not None
        if self.offset - self._acknowledged >= ACK_EVERY:
            self._acknowledged = self.offset
            self._tell({"type": "ack", "offset": self.offset})

    def _hear(self, message: Json) -> None:
        kind = message.get("type")
        if kind in ("hello", "writer"):
            self.roles = Roles(message.get("writer") or "", bool(message.get("you_write")), bool(message.get("may_write")))
            if kind == "hello":
                self._begin(int(message["start"]))
        elif kind == "gap":
            self._miss(int(message["from"]), int(message["to"]))
        elif kind == "state":
            self.label = str(message.get("label") or "")
        elif kind == "bye":
            self._leave(str(message.get("reason") or "The panel closed the console."))
        self._changed()

    def _begin(self, start: int) -> None:
        if self.offset is None:
            self.offset = self._acknowledged = start
        self.opened.set()

    def _miss(self, start: int, end: int) -> None:
        self._notice(f"[{end - start} bytes of the console are not kept any more]")
        self.offset = max(self.offset or 0, end)

    def _leave(self, reason: str) -> None:
        self._panel.get(f"instances/{self._id}/")  # says better why: signed out, gone
        if not self._closing.is_set():
            raise Problem(reason, code="console_closed")

    def _tell(self, message: Json) -> None:
        if self._socket is not None:
            with suppress(ConnectionClosed, OSError):
                self._socket.send(json.dumps(message))


@dataclass(frozen=True)
class Window:
    """Some kept bytes; `kept_from` and `kept_to` are the bounds of what the panel keeps."""

    start: int
    data: bytes
    kept_from: int
    kept_to: int


def read_window(panel: Panel, identifier: str, offset: int | None) -> Window:
    """Bytes from `offset` on, or from the oldest kept one, as many as one answer holds."""
    query = {"limit": LIMIT} if offset is None else {"from": offset, "limit": LIMIT}
    data, headers = panel.read(f"instances/{identifier}/console/", **query)
    kept_from, kept_to = int(headers.get("Console-Start", 0)), int(headers.get("Console-End", len(data)))
    following = int(headers.get("Console-Next", kept_to))
    return Window(following - len(data), data, kept_from, kept_to)
