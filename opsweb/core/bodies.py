"""Bounds the body of every request before Django spools it to disk, whoever sends it. Put around HTTP in opsweb.asgi."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]  # ASGI's callables are spelled in as many ways as there are frameworks

REFUSAL = {"code": "too_large", "message": "The body is larger than one request may be.", "fields": {}, "request_id": ""}


class BodyLimit:
    """Answers 413 to what is, or turns out to be, larger than `largest` bytes; nobody needs to be signed in to send a body."""

    def __init__(self, inner: App, largest: int) -> None:
        self.inner, self.largest = inner, largest

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Called by the server for each request."""
        if announced(scope["headers"]) > self.largest:
            await _refuse(send)
            return
        body = _Counted(receive, self.largest)
        answer = _Watched(send)
        await self.inner(scope, body, answer)
        if body.is_over and not answer.has_begun:
            await _refuse(send)


class _Counted:
    """Hands the body on; one that grows too large ends as if its sender had gone away."""

    def __init__(self, receive: Receive, largest: int) -> None:
        self.receive, self.left, self.is_over = receive, largest, False

    async def __call__(self) -> Message:
        message = await self.receive()
        self.left -= len(message.get("body", b""))
        self.is_over = self.left < 0
        return {"type": "http.disconnect"} if self.is_over else message


class _Watched:
    """Knows whether an answer has begun."""

    def __init__(self, send: Send) -> None:
        self.send, self.has_begun = send, False

    async def __call__(self, message: Message) -> None:
        self.has_begun = True
        await self.send(message)


def announced(headers: list[tuple[bytes, bytes]]) -> int:
    """Content-Length; 0 where there is none (RFC 9112 §6: then the body comes in chunks, or not at all)."""
    length = dict(headers).get(b"content-length", b"")
    return int(length) if length.isdigit() and len(length) < 20 else 0


async def _refuse(send: Send) -> None:
    body = json.dumps(REFUSAL).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
