"""No body is larger than a request may be, announced or not, signed in or not: Django would spool it to disk first (SEC-B3, INV-16)."""

import json
from typing import Any

import pytest

from opsweb.asgi import application
from opsweb.core.bodies import BodyLimit

LARGEST = 1000


async def ask(pieces: list[bytes], announced: int | None = None) -> tuple[int, bytes, int]:
    """(status, what the application read, how many pieces the server was asked for)."""
    headers = [(b"content-length", str(announced).encode())] if announced is not None else []
    return await _ask(BodyLimit(_echo, LARGEST), pieces, headers)


async def _ask(app: Any, pieces: list[bytes], headers: list[tuple[bytes, bytes]]) -> tuple[int, bytes, int]:
    left, sent = list(pieces), []

    async def receive() -> dict[str, Any]:
        piece = left.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(left)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/sign-in/", "query_string": b"", "headers": headers, "asgi": {"version": "3.0"}}
    await app(scope, receive, send)
    return sent[0]["status"], sent[1]["body"], len(pieces) - len(left)


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def test_what_fits_goes_through() -> None:
    assert await ask([b"x" * 400, b"y" * 600]) == (200, b"x" * 400 + b"y" * 600, 2)


async def test_one_that_says_it_is_too_large_is_not_read() -> None:
    status, body, read = await ask([b"x"], LARGEST + 1)
    assert (status, json.loads(body)["code"], read) == (413, "too_large", 0)


async def test_one_that_turns_out_too_large_is_read_no_further() -> None:
    status, body, read = await ask([b"x" * 400] * 50)
    assert (status, json.loads(body)["code"], read) == (413, "too_large", 3)


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"100000000000")]], ids=["chunked", "announced"])
async def test_the_panel_itself_takes_no_large_body_of_a_stranger(headers: list[tuple[bytes, bytes]]) -> None:
    """A gigabyte in chunks, to a page that anybody may post to."""
    status, _, read = await _ask(application, [b"x" * 1024**2] * 64, [*headers, (b"host", b"testserver")])
    assert status == 413
    assert read <= 10
