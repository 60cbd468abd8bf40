"""Ports of a running VM change at once; one that is busy on the host is said on the instance, and nothing dies of it."""

from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User

from instances.hypervisor.base import DriverError
from instances.models import Image, Instance
from instances.reconcile.drivers import hypervisor
from instances.services import create, power
from instances.services.create import InstanceSpec
from instances.states import Verb
from opsweb.core.access import Actor
from tests.conftest import SentTasks


@pytest.fixture
def olgas(olga: User, as_actor: Callable[[User], Actor]) -> Actor:
    return as_actor(olga)


@pytest.fixture
def up(image: Image, olgas: Actor, sent: SentTasks) -> Iterator[Instance]:
    """An instance that runs on the fake host."""
    instance, _ = create.create(image.team, "web1", image, InstanceSpec(ports=["18080"]), actor=olgas)
    sent.drain()
    instance.refresh_from_db()
    assert instance.observed == "running"
    yield instance
    hypervisor().erase(instance.pk)


class Applied:
    """What the driver was asked for."""

    def __init__(self, fault: DriverError | None = None) -> None:
        self.ports: list[list[tuple[int, int]]] = []
        self.fault = fault

    def __call__(self, vm: object, nic: int, forwards: tuple[object, ...]) -> None:
        self.ports.append([(forward.host_port, forward.guest_port) for forward in forwards])
        if self.fault:
            raise self.fault


def test_a_running_vm_gets_them_at_once(up: Instance, olgas: Actor, sent: SentTasks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hypervisor(), "set_forwards", applied := Applied())
    create.edit(up, InstanceSpec(ports=["18081:80"]), actor=olgas)
    sent.drain()
    assert applied.ports == [[(18_081, 80)]]
    up.refresh_from_db()
    assert up.message == ""


def test_a_busy_one_is_said_on_the_instance(up: Instance, olgas: Actor, sent: SentTasks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hypervisor(), "set_forwards", Applied(DriverError("port_busy", "Port 18081 is in use.")))
    create.edit(up, InstanceSpec(ports=["18081"]), actor=olgas)
    sent.drain()
    up.refresh_from_db()
    assert (up.message, up.observed) == ("Port 18081 is in use.", "running")


def test_a_stopped_one_is_left_alone(up: Instance, olgas: Actor, sent: SentTasks, monkeypatch: pytest.MonkeyPatch) -> None:
    power.request(Verb.FORCE_OFF, up, actor=olgas)
    sent.drain()
    monkeypatch.setattr(hypervisor(), "set_forwards", applied := Applied())
    create.edit(up, InstanceSpec(ports=["18081"]), actor=olgas)
    sent.drain()
    assert applied.ports == []
