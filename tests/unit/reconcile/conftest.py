"""Instances on networks of the fake host, for those who plug NICs."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from instances.models import Image, Instance
from instances.reconcile.drivers import hypervisor
from instances.services import create, power
from instances.services.create import InstanceSpec
from instances.states import Verb
from networks.fabric.names import tap_name
from networks.models import Network
from networks.plans import network_plan
from networks.reconcile.drivers import fabric
from networks.services.nics import NicSpec
from networks.states import Observed
from opsweb.core.access import Actor
from opsweb.core.models import Host
from opsweb.environment import env
from opsweb.teams.models import Team
from tests.conftest import SentTasks

Make = Callable[..., Instance]


@pytest.fixture
def clean_host() -> Iterator[None]:
    """The fake host keeps all in files: each test that asks for this leaves none."""
    yield
    for vm in hypervisor().list():
        hypervisor().erase(vm)
    fabric().remove_all()
    (env.run_dir / "stray-taps.json").unlink(missing_ok=True)


@pytest.fixture
def image(host: Host, team: Team) -> Image:
    """A built image."""
    return Image.objects.create(team=team, host=host, name="web", digest="0" * 64, facts={"program": "/web", "hosts": []})


def network_of(team: Team, host: Host, name: str = "br0", third: int = 33, **columns: Any) -> Network:
    """A network that is up on the fake host."""
    number = env.network_offsets.start + Network.objects.count()
    prefix = f"192.168.{third}"
    columns = {"cidr6": f"fd00:{third}::/64", "gateway6": f"fd00:{third}::1", "observed": Observed.UP} | columns
    network = Network.objects.create(
        team=team, host=host, name=name, uid_offset=number, cidr4=f"{prefix}.0/24", gateway4=f"{prefix}.1", **columns
    )
    fabric().apply_network(network_plan(network))
    return network


@pytest.fixture
def network(team: Team, host: Host) -> Network:
    """br0 of the team."""
    return network_of(team, host)


@pytest.fixture
def olgas(olga: User, as_actor: Callable[[User], Actor]) -> Actor:
    """Olga, the operator."""
    return as_actor(olga)


@pytest.fixture
def make(team: Team, image: Image, olgas: Actor, sent: SentTasks) -> Make:
    """Create an instance through the service; nothing has run yet."""

    def build(*nics: NicSpec, name: str = "web1", **values: Any) -> Instance:
        instance, _ = create.create(team, name, image, InstanceSpec(nics=nics or None, **values), actor=olgas)
        return instance

    return build


@pytest.fixture
def ask(olgas: Actor, sent: SentTasks) -> Callable[[Verb, Instance], Instance]:
    """Press a verb and let the worker do what it was sent."""

    def press(verb: Verb, instance: Instance) -> Instance:
        power.request(verb, instance, actor=olgas)
        sent.drain()
        return Instance.objects.filter(pk=instance.pk).first() or instance

    return press


def taps_of(instance: Instance) -> list[str]:
    """The taps that its row stands for."""
    return sorted(tap_name(env.installation, nic.tag) for nic in instance.nics.filter(network__isnull=False))


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))
