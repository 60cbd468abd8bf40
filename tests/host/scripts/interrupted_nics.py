"""Interrupts the reconciler at sampled calls of ours while a NIC comes to a running guest or goes; prints what came of each as JSON.

Run by test_interrupted.py: `interrupted_nics.py <kill|fail> <attach|detach> <samples>`. All tries share one guest; in every second one
the wish is taken back before anybody goes on.
"""

import difflib
import json
import re
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import django

django.setup()

from instances.hypervisor import qmp  # noqa: E402
from instances.models import Image, Instance  # noqa: E402
from instances.reconcile.converge import converge  # noqa: E402
from instances.reconcile.drivers import hypervisor  # noqa: E402
from instances.reconcile.images import converge_image  # noqa: E402
from instances.services import create  # noqa: E402
from instances.services.create import InstanceSpec  # noqa: E402
from instances.services.first_start import ensure  # noqa: E402
from networks.models import Network  # noqa: E402
from networks.reconcile.converge import converge as converge_network  # noqa: E402
from networks.services import networks  # noqa: E402
from networks.services.networks import NetworkSpec  # noqa: E402
from networks.services.nics import NicSpec  # noqa: E402
from opsweb.core.access import SYSTEM  # noqa: E402
from opsweb.core.models import Host  # noqa: E402
from opsweb.environment import env  # noqa: E402
from opsweb.teams.models import Team  # noqa: E402
from tests.host.interrupting import calls_of, in_child, interrupted_at, sampled  # noqa: E402

HOW, WHEN, SAMPLES = sys.argv[1], sys.argv[2], int(sys.argv[3])
OF_TRAFFIC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2} ct count over")  # whose connections are counted: the kernel forgets by itself
PATIENCE, SETTLING = 30.0, 5.0
COMMANDS = ("ip -o link", "ip -o addr", "ip route show table all", "ip -6 route show table all", "nft --stateless list ruleset")


def prepare() -> Instance:
    """The demo's guest on a network with both families; it runs."""
    ensure()
    Host.objects.filter(name=env.host).update(vcpus=4, memory_mib=8192, accelerator="tcg")
    team, image = Team.objects.get(), Image.objects.get()
    Instance.objects.all().delete()
    converge_image(image.pk)
    network, _ = networks.create(team, NetworkSpec(cidr6="auto"), actor=SYSTEM)
    converge_network(network.pk)
    instance, _ = create.create(team, "web", image, InstanceSpec(memory_mib=128, nics=[NicSpec(network=network)]), actor=SYSTEM)
    in_child(lambda: converge(instance.pk))
    until(lambda: "program" in hypervisor().observe(instance.pk).milestones, "the guest runs")
    return settled(instance)


def until(is_so: Any, what: str) -> None:
    """Wait for it, bounded."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def wish(instance: Instance, nics: int) -> None:
    """It is to have so many, all on the network."""
    create.edit(instance, InstanceSpec(nics=[NicSpec(network=network) for network in Network.objects.all()] * nics), actor=SYSTEM)


def settled(instance: Instance) -> Instance:
    """It once the worker and the guest have gone along with the wish."""

    def is_done() -> bool:
        in_child(lambda: converge(instance.pk))
        now = Instance.objects.get(pk=instance.pk)
        return not now.nic_marks and not now.applied.get("nics_begun")

    until(is_done, f"{instance} has its NICs")
    for network in Network.objects.all():
        converge_network(network.pk)
    return Instance.objects.get(pk=instance.pk)


def macs(instance: Instance) -> list[str]:
    """Of the NICs that QEMU has, beside those that the row has."""
    return [*sorted(filter(None, hypervisor().nic_ports(instance.pk).values())), *sorted(nic.mac for nic in instance.nics.all())]


def snapshot(instance: Instance) -> dict[str, list[str]]:
    """The host, QEMU from inside and outside, our files, what is written of the NICs."""
    host = {command: [line for line in _said(command) if not OF_TRAFFIC.search(line)] for command in COMMANDS}
    host["processes"] = sorted(line for line in _said("ps -eo args") if str(env.run_dir) in line)
    control = hypervisor().paths(instance.pk).control
    pid = hypervisor().observe(instance.pk).pid
    parts = qmp.ask(control, "qom-list", {"path": "/machine/peripheral"})
    files = sorted(str(path) for place in (env.run_dir, env.state_dir / "vm") for path in place.rglob("*"))
    applied = Instance.objects.get(pk=instance.pk).applied
    return host | {
        "parts": sorted(part["name"] for part in parts),
        "backends": [line.strip().partition(":")[0] for line in qmp.monitor(control, "info network").splitlines()],
        "descriptors": _opened(f"/proc/{pid}/fd"),
        "files": files,
        "networks": [f"{network.observed} {network.message}" for network in Network.objects.all()],
        "applied": [json.dumps([applied["nics"], applied.get("nic_notes", {}), applied.get("nics_begun", [])])],
    }


def _opened(place: str) -> list[str]:
    """What a process holds, without sockets: our connection of a moment ago may still be one."""
    found = []
    for path in Path(place).iterdir():
        with suppress(FileNotFoundError):
            found.append(str(path.readlink()))
    return sorted(target for target in found if not target.startswith("socket:"))


def _said(command: str) -> list[str]:
    return subprocess.run(command.split(), capture_output=True, text=True, check=True).stdout.splitlines()


def differs(before: dict[str, list[str]], instance: Instance) -> dict[str, list[str]]:
    """What is otherwise than before, once QEMU has given back what it frees a moment later (RCU) and dnsmasq is one process."""
    deadline = time.monotonic() + SETTLING
    while (now := snapshot(instance)) != before and time.monotonic() < deadline:
        time.sleep(0.1)
    changed = {part: [line for line in difflib.ndiff(before[part], now[part]) if line[0] in "+-"] for part in before}
    return {part: lines for part, lines in changed.items() if lines}


def one_try(instance: Instance, before: dict[str, list[str]], number: int, *, taken_back: bool) -> dict[str, Any]:
    """Interrupt at `number`, go on in other processes, and have one NIC again in the end."""
    wish(instance, 2)
    if WHEN == "detach":
        settled(instance)
        wish(instance, 1)
    in_child(lambda: interrupted_at(HOW, number, lambda: converge(instance.pk)))
    if taken_back:
        wish(instance, 1 if WHEN == "attach" else 2)
    now = settled(instance)
    result = {"at": number, "taken_back": taken_back, "nics": len(now.nics.all()), "macs": macs(now), "boot": now.boot}
    wish(instance, 1)
    return result | {"differs": differs(before, settled(instance))}


def count_calls(instance: Instance) -> int:
    """How many calls of ours an uninterrupted one makes."""
    wish(instance, 2)
    if WHEN == "detach":
        settled(instance)
        wish(instance, 1)
    calls = calls_of(partial(converge, instance.pk))
    wish(instance, 1)
    settled(instance)
    return calls


def main() -> None:
    """Print the results."""
    instance = prepare()
    calls = count_calls(instance)
    before = snapshot(instance)  # QEMU keeps one descriptor of the first round for ever
    tries = [one_try(instance, before, point, taken_back=index % 2 == 1) for index, point in enumerate(sampled(calls, SAMPLES))]
    print(json.dumps({"calls": calls, "boot": instance.boot, "tries": tries}))


main()
