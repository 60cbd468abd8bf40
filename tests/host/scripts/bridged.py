"""Real guests on a real bridge, for test_bridged.py: `bridged.py <talk|hotplug|rounds> …`; prints what was seen as JSON."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import django

django.setup()

from instances.hypervisor import qmp  # noqa: E402
from instances.hypervisor.base import SPARE_PORTS  # noqa: E402
from instances.imaging.base import BuildJob, Recipe  # noqa: E402
from instances.imaging.builder import build  # noqa: E402
from instances.models import Image, Instance  # noqa: E402
from instances.reconcile.converge import converge  # noqa: E402
from instances.reconcile.drivers import hypervisor  # noqa: E402
from instances.reconcile.plugging import plugged  # noqa: E402
from instances.reconcile.sweep import sweep  # noqa: E402
from instances.services import create, power  # noqa: E402
from instances.services.create import InstanceSpec  # noqa: E402
from instances.states import Verb  # noqa: E402
from networks.fabric.names import tap_name  # noqa: E402
from networks.models import Network  # noqa: E402
from networks.reconcile.converge import converge as converge_network  # noqa: E402
from networks.reconcile.drivers import fabric  # noqa: E402
from networks.services import networks  # noqa: E402
from networks.services.networks import NetworkSpec  # noqa: E402
from networks.services.nics import NicSpec  # noqa: E402
from opsweb.core.access import SYSTEM  # noqa: E402
from opsweb.core.models import Host  # noqa: E402
from opsweb.environment import env  # noqa: E402
from opsweb.teams.models import Team  # noqa: E402

PATIENCE = 90.0
FORWARD = 18_085


def prepare() -> tuple[Team, Network]:
    """A host, a team and its network br0 with both families."""
    Host.objects.get_or_create(name=env.host, defaults={"vcpus": 4, "memory_mib": 8192, "accelerator": "tcg"})
    team = Team.objects.create(name="demo")
    network, _ = networks.create(team, NetworkSpec(cidr4="192.168.33.1/24", cidr6="fd00:33::1/64"), actor=SYSTEM)
    converge_network(network.pk)
    network.refresh_from_db()
    assert network.observed == "up", network.message
    return team, network


def image_of(team: Team, program: Path) -> Image:
    """The program as a built image."""
    output = env.state_dir / "images" / "new"
    report = build(BuildJob(program, None, Recipe(f"/{program.name}"), output, env.uid_base))
    output.rename(output.with_name(f"{sha256(output.read_bytes()).hexdigest()}.cpio"))
    host = Host.objects.get()
    return Image.objects.create(
        team=team, host=host, name=program.name, digest=report.digest, size=report.size, facts={"program": report.program, "hosts": []}
    )


def started(team: Team, image: Image, name: str, nic: NicSpec, *args: str, **values: Any) -> Instance:
    """An instance that runs."""
    spec = InstanceSpec(memory_mib=160, nics=[nic], args=list(args), **values)
    instance, _ = create.create(team, name, image, spec, actor=SYSTEM)
    converge(instance.pk)
    instance.refresh_from_db()
    assert instance.observed == "running", instance.message
    converge_network(nic.network.pk)  # the worker's other task: a guest that asks by DHCP asks until it is done
    return instance


def waited(seen: Callable[[], Any], what: str) -> Any:
    """What is seen, as soon as that is something; bounded."""
    end = time.monotonic() + PATIENCE
    while not (found := seen()):
        assert time.monotonic() < end, f"{what}; consoles: {[console(one) for one in Instance.objects.all()]}"
        time.sleep(0.1)
    return found


def console(instance: Instance) -> list[str]:
    """Its lines up to now."""
    log = hypervisor().paths(instance.pk).console_log
    return log.read_bytes().decode(errors="replace").split("\r\n") if log.exists() else []


def heard(instance: Instance, targets: int) -> list[str]:
    """The answers it got, once it has all."""
    lines = waited(lambda: len(lines := [line for line in console(instance) if ": " in line]) >= targets and lines, f"{instance} hears")
    return sorted(lines)


def greeting(address: str) -> str:
    """What a guest says to the host."""

    def ask() -> str:
        try:
            with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return ""

    return str(waited(ask, f"{address} answers"))


def links() -> list[str]:
    """Taps of this panel in this network namespace."""
    lines = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout.splitlines()
    names = [line.split(": ")[1].partition("@")[0] for line in lines]
    return sorted(name for name in names if name.startswith(f"ow{env.installation}") and name.endswith("t"))


def talk(program: Path, outside: str) -> dict[str, Any]:
    """A fixed guest and one by DHCP ask each other, the outside and the host; a tap is deleted; both end."""
    team, network = prepare()
    image = image_of(team, program)
    fixed = NicSpec(network=network, name="tap1", address4="192.168.33.19")
    alice = started(team, image, "alice", fixed, "bob:8081", f"{outside}:8080", ports=[f"{FORWARD}:8081"])
    targets = ["alice:8081", "alice.br0.internal:8081", "192.168.33.19:8081", "[fd00:33::13]:8081", f"{outside}:8080"]
    bob = started(team, image, "bob", NicSpec(network=network), *targets)
    nic = bob.nics.get()
    result: dict[str, Any] = {"alice": heard(alice, 2), "bob": heard(bob, len(targets)), "bobs": [nic.address4, nic.address6]}
    result["host"] = [greeting(f"{nic.address4}:8081"), greeting(f"[{nic.address6}]:8081"), greeting(f"127.0.0.1:{FORWARD}")]
    result["taps"] = links()
    subprocess.run(["ip", "link", "del", result["taps"][0]], check=True)
    sweep()
    result["taps_again"] = links()
    result["host_again"] = [greeting(f"{nic.address4}:8081"), greeting("192.168.33.19:8081")]
    network.refresh_from_db()
    result["drift"] = [[entry["what"], entry["reason"], entry["mended"]] for entry in network.drift]
    for instance, verb in ((alice, Verb.FORCE_OFF), (bob, Verb.DELETE)):
        power.request(verb, instance, actor=SYSTEM)
        converge(instance.pk)
    return result | {"taps_after": links(), "leases": [lease["address"] for lease in network.leases]}


def hotplug(program: Path, count: int) -> dict[str, Any]:
    """A running guest gets a second NIC and answers there; then NICs come and go, and there are more than it has room for."""
    team, network = prepare()
    lab, _ = networks.create(team, NetworkSpec(name="lab", cidr4="192.168.34.1/24", cidr6="fd00:34::1/64"), actor=SYSTEM)
    converge_network(lab.pk)
    image, first = image_of(team, program), NicSpec(network=network, name="tap0")
    alice = started(team, image, "alice", first)
    addresses = ["192.168.34.77:8081", "[fd00:34::4d]:8081"]
    carol = started(team, image, "carol", NicSpec(network=lab), *addresses, "alice:8081")
    alone = with_nics(alice, first)
    alice = with_nics(alice, first, NicSpec(network=lab, address4="192.168.34.77"))
    result: dict[str, Any] = {
        "applied": alice.restart_to_apply == [],
        "carol": heard(carol, 3),
        "host": [greeting(one) for one in addresses],
    }
    subprocess.run(["ip", "link", "delete", tap_name(env.installation, alice.nics.get(network=lab).tag)], check=True)
    result["deleted"] = len(links())
    sweep()
    result |= {"mended": len(links()), "again": [greeting(one) for one in addresses]}
    alice = settled(alice, first)
    before = leftovers(alice)
    seen = []
    for _ in range(count):
        alice = settled(alice, first, NicSpec(network=lab))
        seen.append(len(links()))
        alice = settled(alice, first)
    result |= {"most": max(seen), "before": before, "after": leftovers(alice)}
    alice = with_nics(alice, first, *[NicSpec(network=lab)] * (SPARE_PORTS + 1))
    result |= {"waits": [mark.reason for mark in alice.nic_marks.values()], "ports": list(hypervisor().nic_ports(alice.pk).values())}
    return result | {"boots": [alone.boot, alice.boot], "message": alice.message}


def with_nics(instance: Instance, *nics: NicSpec) -> Instance:
    """It after an edit of its NICs and what the worker makes of that."""
    create.edit(instance, InstanceSpec(nics=list(nics)), actor=SYSTEM)
    converge(instance.pk)
    for network in Network.objects.all():
        converge_network(network.pk)
    return Instance.objects.get(pk=instance.pk)


def settled(instance: Instance, *nics: NicSpec) -> Instance:
    """It once its guest has gone along with the edit."""
    with_nics(instance, *nics)

    def done() -> Instance | None:
        converge(instance.pk)
        now = Instance.objects.get(pk=instance.pk)
        return None if now.nic_marks else now

    return waited(done, f"{instance} has its NICs")


def leftovers(instance: Instance) -> list[Any]:
    """Taps; descriptors of its QEMU and ours; parts of its machine."""
    place = hypervisor().paths(instance.pk)
    pid = hypervisor().observe(instance.pk).pid
    time.sleep(0.3)  # our last connection is a descriptor of QEMU's for a moment
    parts = qmp.ask(place.control, "qom-list", {"path": "/machine/peripheral"})
    backends = qmp.monitor(place.control, "info network").splitlines()
    time.sleep(0.3)
    counts = [len(list(Path(f"/proc/{who}/fd").iterdir())) for who in (pid, "self")]
    return [len(links()), *counts, sorted(row["name"] for row in parts), [line.strip().partition(":")[0] for line in backends]]


def rounds(count: int) -> dict[str, Any]:
    """Plug and unplug so many times, every third by a failure."""
    team, network = prepare()
    host = Host.objects.get()
    image = Image.objects.create(team=team, host=host, name="none", digest="0" * 64, facts={})
    instance, _ = create.create(team, "web", image, InstanceSpec(nics=[NicSpec(network=network)] * 2), actor=SYSTEM, start=False)
    nics = list(instance.nics.select_related("network"))
    seen: list[tuple[int, int]] = []
    for number in range(count):
        try:
            with plugged(instance, nics, None) as plugs:
                assert links() == sorted(plug.nic.tap for plug in plugs.values())
                if number % 3 == 0:
                    raise OSError("injected")
        except OSError:
            pass
        seen.append((len(list(Path("/proc/self/fd").iterdir())), len(links())))
    return {"first": seen[1], "last": seen[-1], "most": max(seen), "taps": list(fabric().taps())}


if sys.argv[1] == "talk":
    print(json.dumps(talk(Path(sys.argv[2]), sys.argv[3])))
elif sys.argv[1] == "hotplug":
    print(json.dumps(hotplug(Path(sys.argv[2]), int(sys.argv[3]))))
else:
    print(json.dumps(rounds(int(sys.argv[2]))))
