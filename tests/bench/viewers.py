"""The clients that rows measure with: viewers of a console, listeners on the events socket, readers of a raw serial socket."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect

from tests.bench.panel import BenchPanel

WINDOW = 256 * 1024  # as the browser asks for
ACK_EVERY = 32 * 1024


class Viewer:
    """A console as the browser opens it: acknowledges what it has drawn, counts what is missing."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self.seen, self.missing = socket, bytearray(), 0
        self._offset = self._acknowledged = 0
        self.opened = asyncio.Event()
        self._heard = asyncio.Event()
        self.arrivals: list[float] = []

    async def run(self) -> None:
        """Receive until cancelled."""
        async for message in self._socket:
            if isinstance(message, str):
                self._tell(json.loads(message))
                continue
            start = int.from_bytes(message[:8], "big")
            self.missing += abs(start - self._offset)
            self.seen += message[8:]
            self._offset = start + len(message) - 8
            self.arrivals.append(time.perf_counter())
            self._heard.set()
            if self._offset - self._acknowledged >= ACK_EVERY:
                self._acknowledged = self._offset
                await self._socket.send(json.dumps({"type": "ack", "offset": self._offset}))

    async def type(self, text: str) -> None:
        """What a person types; dropped by the panel unless this viewer is the writer."""
        await self._socket.send(json.dumps({"type": "write", "data": text}))

    async def until(self, is_so: Callable[[bytearray], bool], seconds: float = 60) -> None:
        """Wait until what was seen `is_so`."""
        await _until(self._heard, lambda: is_so(self.seen), seconds)

    def forget(self) -> None:
        """Begin anew with what was seen."""
        self.seen.clear()
        self.arrivals.clear()

    def _tell(self, message: dict[str, object]) -> None:
        if message["type"] == "gap":
            self.missing += 1
        if message["type"] == "hello":
            self._offset = self._acknowledged = int(str(message["end"]))
            self.opened.set()


class Raw:
    """A raw serial socket: what any program that connects to it gets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer, self.seen = reader, writer, bytearray()
        self._heard = asyncio.Event()

    async def run(self) -> None:
        """Receive until cancelled."""
        while data := await self._reader.read(65_536):
            self.seen += data
            self._heard.set()

    async def type(self, text: str) -> None:
        """As it goes to the guest."""
        self._writer.write(text.encode())

    async def until(self, is_so: Callable[[bytearray], bool], seconds: float = 60) -> None:
        """Wait until what was seen `is_so`."""
        await _until(self._heard, lambda: is_so(self.seen), seconds)

    def forget(self) -> None:
        """Begin anew with what was seen."""
        self.seen.clear()


async def _until(heard: asyncio.Event, is_so: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not is_so():
            heard.clear()
            await heard.wait()


@asynccontextmanager
async def console(bench: BenchPanel, instance_id: str, *, viewers: int = 1) -> AsyncIterator[list[Viewer]]:
    """Open consoles at the end of what is there; the first one is the writer."""
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(viewers):
            socket = await stack.enter_async_context(consoles_socket(bench, instance_id))
            viewer = Viewer(socket)
            await stack.enter_async_context(running(viewer.run))
            await socket.send(json.dumps({"type": "open", "from": 2**40, "window": WINDOW}))
            await asyncio.wait_for(viewer.opened.wait(), 10)
            opened.append(viewer)
        yield opened


def consoles_socket(bench: BenchPanel, instance_id: str, **more: object) -> connect:
    """The websocket of a console."""
    url = f"{bench.sockets}instances/{instance_id}/console/"
    return connect(url, additional_headers=bench.authorization, compression=None, max_size=2**22, **more)


@asynccontextmanager
async def raw(path: Path) -> AsyncIterator[Raw]:
    """A connection to a serial socket."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    opened = Raw(reader, writer)
    try:
        async with running(opened.run):
            yield opened
    finally:
        writer.close()


@asynccontextmanager
async def piped(command: list[str]) -> AsyncIterator[Raw]:
    """A program that passes on a serial socket by its stdin and stdout; ended afterwards."""
    child = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    assert child.stdin
    assert child.stdout
    opened = Raw(child.stdout, child.stdin)
    try:
        async with running(opened.run):
            yield opened
    finally:
        child.terminate()
        await child.wait()


@asynccontextmanager
async def stalled(bench: BenchPanel, instance_id: str) -> AsyncIterator[None]:
    """A viewer that opens a console, acknowledges nothing and reads nothing more than its small buffers take."""
    async with consoles_socket(bench, instance_id, max_queue=1) as socket:
        await socket.send(json.dumps({"type": "open", "from": 0, "window": 2**20}))
        await socket.recv()
        yield
        socket.transport.abort()


@asynccontextmanager
async def running(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """In the background, until the block ends."""
    task = asyncio.ensure_future(work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def events_sockets(bench: BenchPanel, count: int) -> AsyncIterator[list[ClientConnection]]:
    """So many browsers that listen for changes."""
    async with AsyncExitStack() as stack:
        url = f"{bench.sockets}events/"
        opening = [connect(url, additional_headers=bench.authorization, compression=None) for _ in range(count)]
        yield [await stack.enter_async_context(one) for one in opening]
