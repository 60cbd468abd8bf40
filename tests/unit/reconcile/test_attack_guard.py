"""A forward of a port that somebody else holds opens nothing: not to guests, not to the host's own clients (INV-09, INV-12)."""

from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User

from instances.models import Image, Instance
from instances.reconcile.drivers import hypervisor
from instances.services import create
from instances.services.create import InstanceSpec
from networks.fabric.base import Endpoint
from networks.fabric.fake import FakeFabric
from networks.reconcile.drivers import fabric
from networks.reconcile.guard import GuestUser, guard_for
from opsweb.core.access import Actor
from opsweb.core.models import Host
from opsweb.environment import env
from tests.conftest import SentTasks

DATABASE = Endpoint("tcp", "127.0.0.1", 5432)
RESOLVER = Endpoint("tcp", "127.0.0.53", 53)


@pytest.fixture
def host_services() -> Iterator[None]:
    """The host has a database and a resolver of its own."""
    driver = fabric()
    assert isinstance(driver, FakeFabric)
    driver.listen({DATABASE: "postgres (pid 7)", RESOLVER: "systemd-resolve (pid 8)"})
    yield
    driver.listen({})


@pytest.fixture
def up(image: Image, olga: User, as_actor: Callable[[User], Actor], sent: SentTasks) -> Iterator[Instance]:
    """An instance that runs on the fake host."""
    instance, _ = create.create(image.team, "web1", image, InstanceSpec(ports=["18080"]), actor=as_actor(olga))
    sent.drain()
    yield instance
    hypervisor().erase(instance.pk)


def test_a_port_of_the_hosts_own_service_is_never_opened_to_guests(
    up: Instance, host: Host, olga: User, as_actor: Callable[[User], Actor], sent: SentTasks, host_services: None
) -> None:
    """A guest's team asked for the database's port and for the resolver's: the rules name neither, the person is told."""
    create.edit(up, InstanceSpec(ports=["18080", "5432", "127.0.0.53:53:5353"]), actor=as_actor(olga))
    sent.drain()
    guest = GuestUser(env.uid_base + up.uid_offset, up.team_id, up.pk)
    guard = guard_for(host, [guest])
    assert guard.allowed[guest.uid] == (Endpoint("tcp", "127.0.0.1", 18_080),)
    assert guard.redirects == ()
    up.refresh_from_db()
    assert "5432/tcp by postgres (pid 7)" in up.message
