"""What people type at a guest that does not read costs the watcher a bounded amount (INV-16)."""

import asyncio
import socket
import uuid
from pathlib import Path

from instances.hypervisor.base import RunPaths
from instances.watch.vm import PENDING_INPUT, Link
from tests.contract.hypervisors import short_directory


async def test_input_that_nobody_reads_is_dropped() -> None:
    """A paused guest takes nothing; a person with a script sends for ever."""
    with short_directory() as directory, socket.socket(socket.AF_UNIX) as listener:
        paths = RunPaths(run=Path(directory), state=Path(directory))
        listener.bind(str(paths.serial))
        listener.listen()
        link = Link(uuid.uuid4(), paths, lambda vm: None)
        async with asyncio.timeout(5):
            while link._serial is None:
                await asyncio.sleep(0.01)
        for _ in range(2000):
            link.type_in(b"x" * 8192)
        assert 0 < link._serial.get_write_buffer_size() <= PENDING_INPUT + 8192
        await link.close()
