"""What a worker tells reaches the sockets that listen, over a real redis (core.layer)."""

import asyncio
from collections.abc import Iterator

import pytest

from opsweb.core.events import EVERYTHING, team_group
from opsweb.core.layer import PanelLayer
from opsweb.environment import env
from tests.redis_server import RedisServer, running_redis

MESSAGE = {"type": "opsweb.changed", "changed": "instance:7"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """A redis, and the panel's settings name it."""
    with running_redis() as running:
        monkeypatch.setattr(env, "redis_url", running.url)
        yield running


@pytest.fixture
def layer(server: RedisServer) -> PanelLayer:
    """As the settings make it."""
    return PanelLayer(hosts=[server.url], prefix="opsweb")


async def test_the_groups_named_hear_it_and_no_other(layer: PanelLayer) -> None:
    heard = {group: await layer.new_channel() for group in (team_group(1), EVERYTHING, team_group(2))}
    for group, channel in heard.items():
        await layer.group_add(group, channel)
    await asyncio.to_thread(layer.tell, (team_group(1), EVERYTHING), MESSAGE)
    await asyncio.to_thread(layer.tell, (team_group(2),), {**MESSAGE, "changed": "instance:8"})
    async with asyncio.timeout(10):
        assert [await layer.receive(channel) for channel in heard.values()] == [MESSAGE, MESSAGE, {**MESSAGE, "changed": "instance:8"}]


async def test_it_is_heard_after_a_restart_of_redis(layer: PanelLayer, server: RedisServer) -> None:
    """INV-20: the kept connection is dead then."""
    layer.tell((EVERYTHING,), MESSAGE)
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    channel = await layer.new_channel()
    await layer.group_add(EVERYTHING, channel)
    await asyncio.to_thread(layer.tell, (EVERYTHING,), MESSAGE)
    async with asyncio.timeout(10):
        assert await layer.receive(channel) == MESSAGE
