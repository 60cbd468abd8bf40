"""watch.leases: a lease on a network of this host is one hint about that network, within a second (INV-02: and no more than a hint)."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from instances.watch.hints import Hints
from instances.watch.inotify import Inotify
from instances.watch.leases import Leases
from networks.fabric.fake import FakeFabric
from networks.models import Network
from opsweb.core.models import Host
from opsweb.environment import env
from tests.contract.network_benches import BOB, PLAN, TAG
from tests.unit.networks.conftest import make_network  # noqa: F401  # a fixture

Sent = list[tuple[float, str, str]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    found: Sent = []
    monkeypatch.setattr("instances.watch.hints.enqueue", lambda task, queue, *ids: found.append((time.monotonic(), task, *ids)))
    return found


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeFabric]:
    driver = FakeFabric(TAG, tmp_path)
    monkeypatch.setattr("instances.watch.leases.fabric", lambda: driver)
    return driver


def run(act: Callable[[Leases], Awaitable[None]]) -> None:
    async def within() -> None:
        inotify = Inotify()
        try:
            await act(Leases(env.host, inotify, Hints(env.host)))
        finally:
            inotify.close()

    asyncio.run(within())


async def until_sent(sent: Sent, count: int) -> None:
    async with asyncio.timeout(5):
        while len(sent) < count:
            await asyncio.sleep(0.01)


def test_a_lease_is_a_hint_within_a_second_and_a_flood_of_them_one_more(fake: FakeFabric, sent: Sent) -> None:
    fake.apply_network(PLAN)

    async def act(leases: Leases) -> None:
        leases.watch(PLAN.id)
        leases.watch(PLAN.id)  # again, as each look does: the same watch
        started = time.monotonic()
        fake.plug(PLAN, BOB)
        await until_sent(sent, 1)
        assert sent[0][1:] == ("networks.converge", str(PLAN.id))
        assert sent[0][0] - started < 1
        for number in range(50):
            (fake.lease_directory(PLAN.id) / "leases").write_text(str(number))
            await asyncio.sleep(0.002)
        await until_sent(sent, 2)
        await asyncio.sleep(0.2)
        assert len(sent) == 2
        assert sent[1][0] - sent[0][0] >= 0.9

    run(act)


def test_a_network_that_is_not_there_or_goes_disturbs_nobody(fake: FakeFabric, sent: Sent) -> None:
    other = replace(
        PLAN, id=uuid4(), bridge=f"ow{TAG}000000ffb", cidr4="10.20.0.0/24", gateway4="10.20.0.1", cidr6="", gateway6="", nics=()
    )
    fake.apply_network(PLAN)

    async def act(leases: Leases) -> None:
        leases.watch(other.id)
        leases.watch(PLAN.id)
        fake.remove_network(PLAN.id, PLAN.bridge)
        fake.apply_network(other)
        leases.watch(other.id)
        (fake.lease_directory(other.id) / "leases").write_text("new")
        await until_sent(sent, 1)
        assert {str(other.id)} >= {ids[0] for _, _, *ids in sent if ids[0] != str(PLAN.id)}

    run(act)


def test_only_this_hosts_networks_are_looked_for(make_network: Callable[..., Network], host: Host) -> None:  # noqa: F811
    here = make_network()
    leases = Leases.__new__(Leases)
    leases._host = host.name
    assert leases._networks() == [here.pk]
    Network.objects.update(host=Host.objects.create(name="other"))
    assert leases._networks() == []
