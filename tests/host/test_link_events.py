"""watch.links on a real kernel: what a stranger does to a bridge of ours is heard, and nothing of anybody else's."""

import asyncio
import subprocess
from collections.abc import AsyncIterator

import pytest

from instances.watch.links import Links

pytestmark = pytest.mark.host


class Heard(list[str]):
    """Names, and a way to wait for one."""

    def __init__(self) -> None:
        self._more = asyncio.Event()

    def __call__(self, name: str) -> None:
        self.append(name)
        self._more.set()

    async def wait_for(self, name: str) -> None:
        async with asyncio.timeout(20):
            while name not in self:
                await self._more.wait()
                self._more.clear()
        self.remove(name)


@pytest.fixture
async def heard() -> AsyncIterator[Heard]:
    names = Heard()
    links = Links("1a2b", names)
    yield names
    links.close()


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=10)


async def test_the_kernel_is_heard(heard: Heard) -> None:
    bridge, foreign = "ow1a2b0000000fb", "ow9f9f0000000fb"
    try:
        ip("link", "add", foreign, "type", "bridge")
        ip("link", "add", bridge, "type", "bridge")
        await heard.wait_for(bridge)
        ip("link", "set", bridge, "up")
        await heard.wait_for(bridge)
        ip("address", "add", "192.168.33.1/24", "dev", bridge)
        await heard.wait_for(bridge)
        heard.clear()
        ip("address", "del", "192.168.33.1/24", "dev", bridge)
        await heard.wait_for(bridge)
        ip("link", "del", bridge)
        await heard.wait_for(bridge)
        assert foreign not in heard
    finally:
        ip("link", "del", foreign)
