"""A real dnsmasq gives out a lease, and the watcher's hint about that network is on its way within a second."""

import asyncio
import time

import pytest

from instances.watch.hints import Hints
from instances.watch.inotify import Inotify
from instances.watch.leases import Leases
from networks.fabric.linux import LinuxFabric
from opsweb.environment import env
from tests.contract.hypervisors import short_directory
from tests.contract.network_benches import BOB, PLAN, TAG
from tests.contract.tap_guests import TapGuest
from tests.namespaces import in_own_namespace

pytestmark = pytest.mark.host


def test_a_real_lease_is_heard_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    in_own_namespace()
    sent: list[tuple[float, str, str]] = []
    monkeypatch.setattr("instances.watch.hints.enqueue", lambda task, queue, *ids: sent.append((time.monotonic(), task, *ids)))
    with short_directory() as path:
        path.chmod(0o755)  # as the run directory is: dnsmasq reads its files below it
        fabric = LinuxFabric(TAG, path)
        monkeypatch.setattr("instances.watch.leases.fabric", lambda: fabric)
        try:
            fabric.apply_filter([PLAN])
            fabric.apply_network(PLAN)
            guest = TapGuest(fabric.plug(PLAN, BOB)[0], BOB.mac)
            asyncio.run(_lease(guest, sent))
            assert [lease.mac for lease in fabric.leases(PLAN.id)] == [BOB.mac]
            guest.close()
        finally:
            fabric.remove_all()


async def _lease(guest: TapGuest, sent: list[tuple[float, str, str]]) -> None:
    inotify = Inotify()
    try:
        Leases(env.host, inotify, Hints(env.host)).watch(PLAN.id)
        await asyncio.to_thread(guest.lease)
        leased = time.monotonic()
        async with asyncio.timeout(5):
            while not sent:
                await asyncio.sleep(0.01)
        assert sent[0][1:] == ("networks.converge", str(PLAN.id))
        assert sent[0][0] - leased < 1
    finally:
        inotify.close()
