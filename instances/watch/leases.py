"""Hears of leases: dnsmasq writes its file in a directory that the panel's group may watch, and a hint goes to the worker, who reads it.

Used by watch.watcher. Nothing of the file is read here: dnsmasq, and through it a guest, has its hand in it.
"""

import asyncio
from contextlib import suppress
from functools import partial
from uuid import UUID

from channels.db import database_sync_to_async
from django.db import DatabaseError

from instances.watch.hints import Hints
from instances.watch.inotify import IN_CREATE, IN_MODIFY, IN_MOVED_TO, Inotify
from networks.models import Network
from networks.reconcile.drivers import fabric

LOOK_SECONDS = 10.0  # the slowest that a network's directory is found, should the hint of its bridge be lost
SETTLE_SECONDS = 0.1  # dnsmasq writes a lease in several steps
LEAST_SECONDS = 1.0  # between two hints about one network, however often its guests ask


class Leases:
    """The lease directories of one host's networks."""

    def __init__(self, host: str, inotify: Inotify, hints: Hints) -> None:
        self._host, self._inotify, self._hints = host, inotify, hints

    async def run(self) -> None:
        """Find directories until cancelled."""
        while True:
            with suppress(DatabaseError):
                for network in await database_sync_to_async(self._networks)():
                    self.watch(network)
            await asyncio.sleep(LOOK_SECONDS)

    def watch(self, network: UUID) -> None:
        """Watch its directory; watched already, or not there: nothing. A watch ends with its directory."""
        with suppress(OSError):
            self._inotify.watch(fabric().lease_directory(network), IN_MODIFY | IN_CREATE | IN_MOVED_TO, partial(self._changed, network))

    def _changed(self, network: UUID) -> None:
        self._hints.hint("networks.converge", str(network), least=LEAST_SECONDS, after=SETTLE_SECONDS)

    def _networks(self) -> list[UUID]:
        return list(Network.objects.filter(host__name=self._host).values_list("pk", flat=True))
