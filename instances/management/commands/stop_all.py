"""`manage.py stop_all`: the worker ends every VM of this host and keeps the wish (`make down`); the next worker lets them run again."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from instances.models import Instance
from instances.states import Observed
from opsweb.core.models import Host
from opsweb.core.queue import enqueue
from opsweb.environment import env

LOOK_SECONDS = 0.2


class Command(BaseCommand):
    help = "End every VM of this host gracefully; what ran comes back with the next worker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """`--timeout`: how long to wait for all of them, in seconds."""
        parser.add_argument("--timeout", type=float, default=60)

    def handle(self, *args: Any, **options: Any) -> None:
        """Print how many ended. Raises: CommandError naming those that did not."""
        Host.objects.filter(name=env.host).update(is_draining=True)
        up = Instance.objects.filter(host__name=env.host, observed__in=(Observed.RUNNING, Observed.PAUSED))
        asked = list(up)
        for instance in asked:
            enqueue("instances.converge", f"host.{env.host}", str(instance.pk))
        deadline = time.monotonic() + options["timeout"]
        while up.all().exists() and time.monotonic() < deadline:  # all(): `up` itself remembers what it found
            time.sleep(LOOK_SECONDS)
        if left := list(up.all().values_list("name", flat=True)):
            raise CommandError(f"Still running: {', '.join(left)}. Is the worker up? `make status` tells.")
        self.stdout.write(_told(len(asked)))


def _told(stopped: int) -> str:
    if not stopped:
        return "No VM was running."
    return "1 VM stopped; it comes back with `make up`." if stopped == 1 else f"{stopped} VMs stopped; they come back with `make up`."
