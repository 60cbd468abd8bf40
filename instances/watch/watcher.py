"""The watcher's main loop: finds this host's VMs, hears what the web asks, sends hints to the worker, shows that it is alive."""

import asyncio
import json
import logging
import time
from contextlib import suppress
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from django.db import DatabaseError
from django.utils import timezone
from redis.exceptions import RedisError

from instances import console
from instances.hypervisor.base import Hypervisor
from instances.models import Instance
from instances.reconcile.drivers import hypervisor
from instances.redis_client import redis
from instances.watch.hints import Hints
from instances.watch.inotify import Inotify
from instances.watch.leases import Leases
from instances.watch.links import Links
from instances.watch.vm import VmWatch
from networks.fabric.names import is_tap, tag_of
from networks.models import Network
from opsweb.core import events
from opsweb.core.models import Host
from opsweb.environment import env

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0  # the slowest that a new VM is found, should its message be lost
HEARTBEAT_SECONDS = 10.0
LINK_SECONDS = 1.0  # the least time between two hints about one link
RETRY_SECONDS = 1.0
ANSWER_KEPT_SECONDS = 10


class Watcher:
    """One host's watcher."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._driver: Hypervisor = hypervisor()
        self._vms: dict[UUID, VmWatch] = {}
        self._hints = Hints(host)
        self._told: set[UUID] = set()

    async def run(self) -> None:
        """Until cancelled."""
        self._inotify = Inotify()
        self._leases = Leases(self._host, self._inotify, self._hints)
        links = Links(env.installation, self._link_changed)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._find())
                group.create_task(self._hear())
                group.create_task(self._beat())
                group.create_task(self._leases.run())
        finally:
            links.close()

    async def _find(self) -> None:
        """Watch VMs that nobody told of, let go of erased ones."""
        while True:
            await self._look()
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        for vm in [vm for vm, watch in self._vms.items() if watch.is_gone]:
            await self._vms.pop(vm).close()
            self._told.discard(vm)
        for vm in self._driver.list():
            self._look_at(vm)

    def _look_at(self, vm: UUID) -> None:
        if vm in self._vms:
            self._vms[vm].look()
            return
        with suppress(OSError):  # its log is not there yet: it will be at the next look
            self._vms[vm] = VmWatch(
                vm, self._driver, self._inotify, keep=env.console_keep_bytes, hint=self._hint, first_byte=self._first_byte
            )

    async def _hear(self) -> None:
        """Input, questions and "look" from the web and the worker. What comes while redis is away is lost, and that is meant."""
        while True:
            try:
                async with redis().pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(console.watcher_channel(self._host))
                    async for message in channel.listen():
                        await self._take_any(message["data"])
            except (RedisError, OSError) as error:
                log.warning("redis is away: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _take_any(self, text: bytes) -> None:
        try:
            await self._take(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            log.warning("not a message for a watcher: %r: %r", text[:80], error)

    async def _take(self, message: dict[str, Any]) -> None:
        vm = UUID(message["instance"])
        if message["type"] == "look":  # a new boot
            self._told.discard(vm)
            self._look_at(vm)
            return
        watch = self._vms.get(vm)
        if message["type"] == "range":
            await self._answer(watch, message)
        elif watch is not None and time.time() - message["at"] <= console.INPUT_SECONDS:
            watch.type_in(message["data"].encode())

    async def _answer(self, watch: VmWatch | None, message: dict[str, Any]) -> None:
        """Of a VM that has no log yet, an empty window."""
        window, chunk = watch.read(message["from"], message["to"]) if watch else (console.Window(0, 0), console.Chunk(0, b""))
        async with redis().pipeline(transaction=False) as pipe:
            pipe.lpush(message["reply"], console.encode_answer(window, chunk))
            pipe.expire(message["reply"], ANSWER_KEPT_SECONDS)
            await pipe.execute()

    async def _beat(self) -> None:
        while True:
            with suppress(DatabaseError):
                await database_sync_to_async(self._show_alive)()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    def _show_alive(self) -> None:
        Host.objects.filter(name=self._host).update(watcher_seen_at=timezone.now())

    def _hint(self, vm: UUID) -> None:
        self._hints.hint("instances.converge", str(vm))

    def _link_changed(self, name: str) -> None:
        """A bridge or a tap of ours came, went or was changed, by us or by somebody else."""
        if is_tap(name, env.installation):
            self._hints.hint("instances.keep_taps", least=LINK_SECONDS)
        else:
            self._hints.spawn(self._bridge_changed(name))

    async def _bridge_changed(self, name: str) -> None:
        with suppress(DatabaseError):
            if network := await database_sync_to_async(self._network_of)(name):
                self._leases.watch(network)
                self._hints.hint("networks.converge", str(network), least=LINK_SECONDS)

    def _network_of(self, bridge: str) -> UUID | None:
        rows = Network.objects.filter(host__name=self._host, tag=tag_of(bridge))
        return rows.values_list("pk", flat=True).first()

    async def _first_byte(self, vm: UUID) -> None:
        if vm not in self._told:
            self._told.add(vm)
            self._hints.spawn(self._write_first_byte(vm))

    async def _write_first_byte(self, vm: UUID) -> None:
        with suppress(DatabaseError):
            team = await database_sync_to_async(self._mark_first_byte)(vm)
            if team is not None:
                await events.send(f"instance:{vm}", team)

    @staticmethod
    def _mark_first_byte(vm: UUID) -> int | None:
        if not Instance.objects.filter(pk=vm, first_byte_at=None).update(first_byte_at=timezone.now()):
            return None
        return Instance.objects.values_list("team_id", flat=True).filter(pk=vm).first()
