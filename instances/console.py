"""The console's road through redis, shared by the watcher (which feeds it) and the web (which reads it).

A stream entry's id is the offset right behind its last byte, so a byte's address in console.log is its address everywhere: the watcher
knows after a restart where to go on, a viewer asks "from N", and an entry can be neither lost unseen nor doubled.
"""

import json
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from redis.asyncio import Redis

CHUNK = 4096  # bytes in one stream entry, at most
KEPT_ENTRIES = 160  # × CHUNK < 1 MiB of redis for each VM; older bytes are asked of the watcher
RANGE_BYTES = 256 * 1024  # one answer of the watcher, at most
ANSWER_SECONDS = 5
INPUT_SECONDS = 2.0  # older input is dropped: nothing is typed late
INPUT_BYTES = 8192  # one message of input, at most


def stream_key(instance: UUID | str) -> str:
    """The redis stream with the console's newest bytes."""
    return f"opsweb:console:{instance}"


def watcher_channel(host: str) -> str:
    """The pub/sub channel on which a host's watcher takes input and questions: what it does not hear is gone, never typed late."""
    return f"opsweb:watcher:{host}"


@dataclass(frozen=True)
class Chunk:
    """Some bytes and their address."""

    start: int
    data: bytes

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.start + len(self.data)

    def from_offset(self, offset: int) -> "Chunk":
        """The part at and after `offset`."""
        return self if offset <= self.start else Chunk(min(offset, self.end), self.data[offset - self.start :])


@dataclass(frozen=True)
class Window:
    """What the log still holds: bytes from `start` up to `end`."""

    start: int
    end: int


async def append(redis: Redis, instance: UUID, chunk: Chunk) -> None:
    """Add bytes at the stream's end; CHUNK at a time, in one round trip."""
    async with redis.pipeline(transaction=False) as pipe:
        for at in range(0, len(chunk.data), CHUNK):
            piece = chunk.data[at : at + CHUNK]
            identifier = f"{chunk.start + at + len(piece)}-0"
            pipe.xadd(stream_key(instance), {b"d": piece}, id=identifier, maxlen=KEPT_ENTRIES, approximate=False)
        await pipe.execute()


async def last_offset(redis: Redis, instance: UUID) -> int | None:
    """The offset up to which the stream is fed; None when there is no stream."""
    newest: Any = await redis.xrevrange(stream_key(instance), count=1)
    return _offset(newest[0][0]) if newest else None


async def read(redis: Redis, instance: UUID, offset: int, *, block_ms: int) -> list[Chunk]:
    """Entries that end after `offset`, oldest first; waits up to `block_ms` for the first. The first may begin before `offset` or after."""
    answer: Any = await redis.xread({stream_key(instance): f"{offset}-0"}, count=16, block=block_ms)
    entries = answer[0][1] if answer else []
    return [Chunk(_offset(identifier) - len(fields[b"d"]), fields[b"d"]) for identifier, fields in entries]


def _offset(identifier: bytes) -> int:
    return int(identifier.partition(b"-")[0])


async def type_in(redis: Redis, host: str, instance: UUID, text: str) -> bool:
    """Send input to the guest; False when no watcher listens."""
    message = {"type": "input", "instance": str(instance), "at": time.time(), "data": text}
    return bool(await redis.publish(watcher_channel(host), json.dumps(message)))


async def ask(redis: Redis, host: str, instance: UUID, start: int, end: int) -> tuple[Window, Chunk] | None:
    """Ask the watcher for bytes of the log; None when it does not answer. The answer may be shorter, and begin later, than asked."""
    reply = f"opsweb:answer:{uuid4()}"
    message = {"type": "range", "instance": str(instance), "from": start, "to": end, "reply": reply}
    if not await redis.publish(watcher_channel(host), json.dumps(message)):
        return None
    answer: Any = await redis.blpop([reply], timeout=ANSWER_SECONDS)
    return decode_answer(answer[1]) if answer else None


def encode_answer(window: Window, chunk: Chunk) -> bytes:
    """One line of JSON, then the bytes."""
    return json.dumps({"start": window.start, "end": window.end, "from": chunk.start}).encode() + b"\n" + chunk.data


def decode_answer(answer: bytes) -> tuple[Window, Chunk]:
    """The reverse of `encode_answer`."""
    head, _, data = answer.partition(b"\n")
    facts = json.loads(head)
    return Window(facts["start"], facts["end"]), Chunk(facts["from"], data)
