"""A network with NICs that share ten rules; one rule changes, again and again, by the service and the worker's own task.

Arguments: how many NICs, how many changes. Milliseconds of each: the service's part, the task's, both; run it in a network namespace.
"""

import json
import sys
import time
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402

settings.CHANNEL_LAYERS = {"default": {"BACKEND": "tests.fakes.layer.MemoryLayer"}}

from celery import current_app  # noqa: E402
from django.core.management import call_command  # noqa: E402

import networks.tasks  # noqa: E402, F401  # registers them
from instances.models import Image, Instance  # noqa: E402
from networks.models import Network, Nic  # noqa: E402
from networks.reconcile.drivers import fabric  # noqa: E402
from networks.services import networks as service  # noqa: E402
from networks.services.rules import RuleSpec, set_rules  # noqa: E402
from opsweb.core import queue  # noqa: E402
from opsweb.core.access import SYSTEM  # noqa: E402
from opsweb.core.models import Host  # noqa: E402
from opsweb.environment import env  # noqa: E402
from opsweb.teams.models import Team  # noqa: E402

nics, changes = (int(word) for word in sys.argv[1:])
sent: list[tuple[str, tuple[str, ...]]] = []


def hold(task: str, _queue: str, ids: tuple[str, ...], _countdown: float | None) -> None:
    sent.append((task, ids))


def work() -> None:
    """What a worker does with the messages."""
    while sent:
        task, ids = sent.pop(0)
        current_app.tasks[task](*ids)


def specs(number: int) -> list[RuleSpec]:
    rest = [RuleSpec("allow", "in", "tcp", str(80 + n), "10.0.0.0/8" if n % 2 else "") for n in range(7)]
    return [*rest, RuleSpec("allow", "in", "icmp"), RuleSpec("deny", "out", "tcp", "25"), RuleSpec("deny", "in", "udp", str(1000 + number))]


def seed() -> Network:
    call_command("migrate", verbosity=0)
    team = Team.objects.create(name="payments", quota_instances=nics, quota_addresses=nics)
    host = Host.objects.create(name=env.host, vcpus=64, memory_mib=10**7, accelerator="tcg")
    network, _ = service.create(team, service.NetworkSpec(cidr6="auto", dhcp=False), actor=SYSTEM)
    sent.clear()  # the filter holds without a bridge
    image = Image.objects.create(team=team, host=host, name="ledger", digest="7f3a91c2" * 8, size=10**6)
    rows = Instance.objects.bulk_create(
        Instance(team=team, host=host, image=image, name=f"ledger-{n}", uid_offset=n + 1, memory_mib=128) for n in range(nics)
    )
    at4, at6 = network.subnet4.network.network_address, network.cidr6.partition("/")[0]
    Nic.objects.bulk_create(
        Nic(instance=row, network=network, address4=str(at4 + n), address6=f"{at6}{n:x}") for n, row in enumerate(rows, 2)
    )
    return network


def change(network: Network, number: int) -> dict[str, float]:
    began = time.perf_counter()
    set_rules(network, specs(number), actor=SYSTEM)
    saved = time.perf_counter()
    assert [task for task, _ in sent] == ["networks.keep_filter"]
    work()
    done = time.perf_counter()
    return {"service": (saved - began) * 1000, "task": (done - saved) * 1000, "whole": (done - began) * 1000}


def measure() -> list[dict[str, Any]]:
    network = seed()
    set_rules(network, specs(0), actor=SYSTEM)
    work()
    taken = [change(network, number) for number in range(1, changes + 1)]
    assert len(fabric().counts().rules) == len(specs(0))
    return taken


queue._send = hold
try:
    print(json.dumps(measure()))
finally:
    fabric().remove_all()
