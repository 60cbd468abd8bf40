"""Interrupts the reconciler at sampled calls of ours, then lets it go on; prints what came of each as JSON.

Run by test_interrupted.py: `interrupted.py <kill|fail> <start|delete> <samples> [bridged]`. Django is set up once; each try is a forked
child. Bridged: its NIC is on a network, whose port the host forwards to.
"""

import json
import sys
from pathlib import Path
from typing import Any

import django

django.setup()

from instances.models import Image, Instance  # noqa: E402
from instances.reconcile.converge import converge  # noqa: E402
from instances.reconcile.drivers import hypervisor  # noqa: E402
from instances.reconcile.images import converge_image  # noqa: E402
from instances.services import create, power  # noqa: E402
from instances.services.create import InstanceSpec  # noqa: E402
from instances.services.first_start import ensure  # noqa: E402
from instances.states import Verb  # noqa: E402
from networks.models import Network  # noqa: E402
from networks.reconcile.converge import converge as converge_network  # noqa: E402
from networks.reconcile.drivers import fabric  # noqa: E402
from networks.services import networks  # noqa: E402
from networks.services.networks import NetworkSpec  # noqa: E402
from networks.services.nics import NicSpec  # noqa: E402
from opsweb.core.access import SYSTEM  # noqa: E402
from opsweb.core.models import Host, Operation  # noqa: E402
from opsweb.environment import env  # noqa: E402
from opsweb.teams.models import Team  # noqa: E402
from tests.host.interrupting import calls_of, in_child, interrupted_at, sampled  # noqa: E402

HOW, WHEN, SAMPLES = sys.argv[1], sys.argv[2], int(sys.argv[3])
BRIDGED = sys.argv[4:] == ["bridged"]


def prepare() -> tuple[Team, Image]:
    """A host, a team, a built image and an idle guest's worth of settings."""
    ensure()
    Host.objects.filter(name=env.host).update(vcpus=4, memory_mib=8192, accelerator="tcg")
    team, image = Team.objects.get(), Image.objects.get()
    Instance.objects.all().delete()
    Operation.objects.exclude(kind="image").delete()
    converge_image(image.pk)
    image.refresh_from_db()
    assert image.digest, image.error
    if BRIDGED:
        network, _ = networks.create(team, NetworkSpec(cidr6="auto"), actor=SYSTEM)
        converge_network(network.pk)
    return team, image


def fresh(team: Team, image: Image, name: str) -> Instance:
    """An instance that is to run, and about which nobody has done anything."""
    nics = [NicSpec(network=network) for network in Network.objects.all()] or None
    instance, _ = create.create(team, name, image, InstanceSpec(memory_mib=128, ports=["18499:8080"], nics=nics), actor=SYSTEM)
    return instance


def processes_of(instance: Instance) -> int:
    """How many QEMU processes carry its uuid."""
    marker = str(instance.pk).encode()
    count = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            count += words[0].endswith(b"qemu-system-x86_64") and marker in words
    return count


def left_over(instance: Instance) -> list[str]:
    """Files of an instance that is gone."""
    paths = hypervisor().paths(instance.pk)
    return [str(path) for path in (paths.run, paths.state) if path.exists()]


def one_try(team: Team, image: Image, number: int) -> dict[str, Any]:
    """Interrupt at `number`, go on in other processes, delete; what was there at each point."""
    instance = fresh(team, image, f"try-{number}")
    if WHEN == "start":
        in_child(lambda: interrupted_at(HOW, number, lambda: converge(instance.pk)))
    after = in_child(lambda: converge(instance.pk))
    instance.refresh_from_db()
    result = {"at": number, "went_on": after == 0, "observed": instance.observed, "message": instance.message}
    result |= {"processes": processes_of(instance), "taps": len(fabric().taps())}
    power.request(Verb.DELETE, instance, actor=SYSTEM)
    if WHEN == "delete":
        in_child(lambda: interrupted_at(HOW, number, lambda: converge(instance.pk)))
    in_child(lambda: converge(instance.pk))
    result |= {
        "rows": Instance.objects.filter(pk=instance.pk).count(),
        "active": Operation.objects.filter(target_id=instance.pk, status__in=Operation.ACTIVE).count(),
        "processes_after": processes_of(instance),
        "left_over": [*left_over(instance), *fabric().taps()],
    }
    return result


def count_calls(team: Team, image: Image) -> int:
    """How many calls of ours an uninterrupted one makes."""
    instance = fresh(team, image, "counted")
    if WHEN == "delete":
        in_child(lambda: converge(instance.pk))
        power.request(Verb.DELETE, instance, actor=SYSTEM)
    calls = calls_of(lambda: converge(instance.pk))
    if WHEN == "start":
        power.request(Verb.DELETE, instance, actor=SYSTEM)
        in_child(lambda: converge(instance.pk))
    return calls


def main() -> None:
    """Print the results."""
    team, image = prepare()
    calls = count_calls(team, image)
    print(json.dumps({"calls": calls, "tries": [one_try(team, image, point) for point in sampled(calls, SAMPLES)]}))


main()
