"""Somebody asks for something else while the worker looks or acts: the newer wish stands, and is not called done by the older."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from instances.hypervisor.base import DriverError, Exit, ExitReason, Hypervisor, Observation, Power
from instances.models import Image, Instance
from instances.reconcile import converge as module
from instances.reconcile.converge import converge
from instances.reconcile.drivers import hypervisor
from instances.services import create, power
from instances.services.create import InstanceSpec
from instances.states import Verb
from opsweb.core.access import Actor
from opsweb.core.models import Operation
from tests.conftest import SentTasks


class Meddled:
    """The fake host; `during[call]` happens once, while the call is on its way."""

    def __init__(self, driver: Hypervisor) -> None:
        self._driver = driver
        self.during: dict[str, Callable[[], Any]] = {}
        self.answers: dict[str, Callable[[], Any]] = {}  # in place of the call, once

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._driver, name)
        if name not in self.during and name not in self.answers:
            return attribute
        happen, answer = self.during.pop(name, lambda: None), self.answers.pop(name, None)

        def call(*args: Any) -> Any:
            happen()
            return answer() if answer else attribute(*args)

        return call


@pytest.fixture
def host_driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Meddled]:
    meddled = Meddled(hypervisor())
    monkeypatch.setattr(module, "hypervisor", lambda: meddled)
    yield meddled
    for vm in hypervisor().list():
        hypervisor().erase(vm)


@pytest.fixture
def olgas(olga: User, as_actor: Callable[[User], Actor]) -> Actor:
    return as_actor(olga)


@pytest.fixture
def up(image: Image, olgas: Actor, host_driver: Meddled, sent: SentTasks) -> Instance:
    """An instance that runs on the fake host."""
    instance, _ = create.create(image.team, "web1", image, InstanceSpec(), actor=olgas)
    sent.drain()
    instance.refresh_from_db()
    assert instance.observed == "running"
    return instance


def fail() -> None:
    raise DriverError("start_failed", "No.")


def asked(verb: Verb, instance: Instance, actor: Actor) -> Callable[[], Operation]:
    return lambda: power.request(verb, Instance.objects.get(pk=instance.pk), actor=actor)


def test_a_stop_asked_for_during_a_look_is_not_called_done(up: Instance, host_driver: Meddled, olgas: Actor, sent: SentTasks) -> None:
    """INV-06: the look was for the older wish, which was fulfilled."""
    host_driver.during["observe"] = asked(Verb.FORCE_OFF, up, olgas)
    converge(up.pk)
    operation = Operation.objects.latest("created_at")
    up.refresh_from_db()
    assert (operation.verb, operation.status, up.observed) == ("force-off", "succeeded", "stopped")


def test_a_delete_during_a_guests_own_end_is_not_lost(up: Instance, host_driver: Meddled, olgas: Actor, sent: SentTasks) -> None:
    """INV-02: the restart policy judges the wish that it saw, and writes over no other."""

    def ended() -> Observation:
        return Observation(Power.STOPPED, boot=up.boot, exit=Exit(ExitReason.GUEST, code=0))

    host_driver.answers["observe"] = ended
    host_driver.during["observe"] = asked(Verb.DELETE, up, olgas)
    converge(up.pk)
    sent.drain()
    assert not Instance.objects.filter(pk=up.pk).exists()


def test_a_delete_during_a_start_that_fails_is_not_lost(up: Instance, host_driver: Meddled, olgas: Actor, sent: SentTasks) -> None:
    """INV-02: the failure belongs to the start, which was pushed aside."""
    asked(Verb.FORCE_OFF, up, olgas)()
    sent.drain()
    asked(Verb.START, up, olgas)()

    host_driver.during["start"] = asked(Verb.DELETE, up, olgas)
    host_driver.answers["start"] = fail
    sent.drain()
    assert not Instance.objects.filter(pk=up.pk).exists()
    assert list(Operation.objects.order_by("-created_at").values_list("verb", "status")[:2]) == [
        ("delete", "succeeded"),
        ("start", "superseded"),
    ]


def test_a_force_off_during_a_reset_stays_forced(up: Instance, host_driver: Meddled, olgas: Actor, sent: SentTasks) -> None:
    asked(Verb.RESET, up, olgas)()
    Operation.objects.filter(verb="reset").update(status="superseded")
    host_driver.during["reset"] = asked(Verb.FORCE_OFF, up, olgas)
    converge(up.pk)
    up.refresh_from_db()
    assert up.observed == "stopped"


def test_a_start_asked_for_during_a_failing_retry_is_not_held_back(
    up: Instance, host_driver: Meddled, olgas: Actor, sent: SentTasks
) -> None:
    """A retry that nobody waits for fails; the start that somebody asked for meanwhile does not wait for the next retry."""
    hypervisor().erase(up.pk)

    host_driver.during["start"] = asked(Verb.START, up, olgas)
    host_driver.answers["start"] = fail
    converge(up.pk)
    up.refresh_from_db()
    assert up.start_after is None
