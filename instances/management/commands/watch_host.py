"""`manage.py watch_host <name>`: the watcher, one for each host (docs/architecture.md, "The watcher")."""

import asyncio
from argparse import ArgumentParser
from typing import Any

import uvloop
from django.core.management.base import BaseCommand

from instances.watch.watcher import Watcher


class Command(BaseCommand):
    help = "Watch this host's VMs: consoles, events, heartbeat. Needs no root."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The host's name."""
        parser.add_argument("host")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until a signal ends it."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(Watcher(options["host"]).run())
