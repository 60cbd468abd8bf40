"""A database of the fake host with so many instances: half of them run, each has a forward. Argument: how many."""

import json
import sys

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.utils import timezone  # noqa: E402

from instances.models import Image, Instance  # noqa: E402
from networks.models import Nic, PortForward  # noqa: E402
from opsweb.core.models import Host  # noqa: E402
from opsweb.environment import env  # noqa: E402
from opsweb.teams.models import Team  # noqa: E402

count = int(sys.argv[1])
call_command("migrate", verbosity=0)
team = Team.objects.create(name="payments")
host = Host.objects.create(name=env.host, vcpus=64, memory_mib=10**7, accelerator="tcg")
User.objects.create_superuser("ana", password="correct horse battery")
image = Image.objects.create(team=team, host=host, name="ledger", digest="7f3a91c2" * 8, size=10**6, facts={"program": "/ledger"})


def row(number: int) -> Instance:
    state = "running" if number % 2 else "stopped"
    started = timezone.now() if number % 2 else None
    return Instance(
        team=team, host=host, image=image, name=f"ledger-{number}", uid_offset=number + 1, memory_mib=128,
        desired=state, observed=state, observed_at=timezone.now(), started_at=started,
    )  # fmt: skip


rows = Instance.objects.bulk_create([row(number) for number in range(count)], batch_size=500)
nics = Nic.objects.bulk_create([Nic(instance=instance) for instance in rows], batch_size=500)
forwards = [
    PortForward(
        nic=nic,
        host=host,
        team_id=team.pk,
        protocol="tcp",
        host_address="127.0.0.1",
        host_port=10_000 + at,
        bound_port=10_000 + at,
        guest_port=80,
    )
    for at, nic in enumerate(nics)
]
PortForward.objects.bulk_create(forwards, batch_size=500)
print(json.dumps({"instances": count}))
