"""A guest that makes QEMU complain for ever fills no disk: the watcher bounds what no viewer ever sees (INV-16, SEC-K1)."""

import asyncio
from types import SimpleNamespace

import pytest

from instances.watch.log import ENDS_KEPT
from instances.watch.vm import VmWatch
from instances.watch.watcher import Watcher
from tests.contract.consoles import QuietDriver, _use_redis, guest, ignore, redis_server, watcher  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("name", ["stderr.log", "status.log"])
async def test_a_flooded_log_is_bounded(guest: SimpleNamespace, watcher: Watcher, name: str) -> None:
    log = guest.directory / name
    log.write_bytes(b"first\n")
    driver = QuietDriver(guest.directory)
    watch = VmWatch(guest.id, driver, watcher._inotify, keep=64 * 1024, hint=lambda vm: None, first_byte=ignore)  # type: ignore[arg-type]
    with log.open("ab") as file:
        for _ in range(64):
            file.write(b"virtio: bogus descriptor or out of resources\n" * 2000)
            file.flush()
    async with asyncio.timeout(5):
        while log.stat().st_blocks * 512 > 6 * ENDS_KEPT:
            await asyncio.sleep(0.01)
    assert log.read_bytes().startswith(b"first\n")
    await watch.close()
