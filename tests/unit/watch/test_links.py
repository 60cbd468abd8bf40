"""watch.links and watch.hints: a datagram of the kernel is read strictly, a flood of changes is a few hints."""

import asyncio
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.watch.hints import Hints
from instances.watch.links import DEL_LINK, NEW_ADDRESS, NEW_LINK, events


def message(kind: int, body: bytes) -> bytes:
    body += b"\0" * (-len(body) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def link(index: int, name: str, kind: int = NEW_LINK) -> bytes:
    def attribute(number: int, value: bytes) -> bytes:
        return struct.pack("=HH", 4 + len(value), number) + value + b"\0" * (-len(value) % 4)

    text = attribute(26, b"\1") + attribute(3, name.encode() + b"\0")
    return message(kind, struct.pack("=BxHiII", 0, 1, index, 0, 0) + text)


def address(index: int) -> bytes:
    return message(NEW_ADDRESS, struct.pack("=BBBBI", 2, 24, 0, 0, index) + struct.pack("=HH", 8, 1) + b"\xc0\xa8\x21\x01")


def test_links_and_addresses_are_read() -> None:
    data = link(7, "ow1a2b0000000ab") + address(9) + link(8, "eth0", DEL_LINK) + message(99, b"else")
    assert list(events(data)) == [(7, "ow1a2b0000000ab"), (9, ""), (8, "eth0")]


@given(st.binary(max_size=200) | st.builds(lambda data, cut: data[:cut], st.just(link(7, "eth0") + address(9)), st.integers(0, 100)))
def test_whatever_comes_is_read_to_its_end(data: bytes) -> None:
    for index, name in events(data):
        assert isinstance(index, int)
        assert len(name) < 200


async def test_a_flood_of_changes_is_one_hint_now_and_one_later(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, tuple[str, ...]]] = []
    later = asyncio.Event()

    def send(task: str, _queue: str, args: tuple[str, ...], _countdown: object) -> None:
        sent.append((task, args))
        if len(sent) == 3:
            loop.call_soon_threadsafe(later.set)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr("instances.watch.hints.enqueue", lambda task, where, *ids: send(task, where, ids, None))
    hints = Hints("local")
    for _ in range(50):
        hints.hint("networks.converge", "a", least=0.3)
    hints.hint("networks.converge", "b", least=0.3)
    async with asyncio.timeout(10):
        while len(sent) < 2:
            await asyncio.sleep(0)
    for _ in range(50):
        hints.hint("networks.converge", "a", least=0.3)
    async with asyncio.timeout(10):
        await later.wait()
    assert sent == [("networks.converge", ("a",)), ("networks.converge", ("b",)), ("networks.converge", ("a",))]
