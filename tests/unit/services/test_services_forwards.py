"""networks.services: a port of the host has one taker, strangers are not named, low ports get a stand-in."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from instances.models import Instance
from networks.models import Nic, PortForward
from networks.ports import parse_ports
from networks.services.forwards import STAND_IN_PORTS, free_port, set_forwards
from opsweb.core.access import SYSTEM, Actor
from opsweb.core.errors import Conflict, Forbidden
from opsweb.core.models import Host
from opsweb.environment import env
from tests.conftest import nothing_changes


@pytest.fixture
def olgas(olga: User, as_actor: Callable[[User], Actor]) -> Actor:
    return as_actor(olga)


def publish(instance: Instance, *ports: str, actor: Actor, udp: tuple[str, ...] = ()) -> None:
    set_forwards(instance.nics.get(), parse_ports(ports, udp), host=instance.host, team_id=instance.team_id, actor=actor)


def rows(instance: Instance) -> list[tuple[str, str, int, int]]:
    forwards = PortForward.objects.filter(nic__instance=instance).order_by("protocol", "host_port")
    return list(forwards.values_list("protocol", "host_address", "host_port", "guest_port"))


def test_they_become_exactly_these(stopped: Instance, olgas: Actor) -> None:
    publish(stopped, "8080", "9000-9001:7000-7001", actor=olgas, udp=("5353:53",))
    assert rows(stopped) == [
        ("tcp", "127.0.0.1", 8080, 8080),
        ("tcp", "127.0.0.1", 9000, 7000),
        ("tcp", "127.0.0.1", 9001, 7001),
        ("udp", "127.0.0.1", 5353, 53),
    ]
    publish(stopped, "9000:80", actor=olgas)
    assert rows(stopped) == [("tcp", "127.0.0.1", 9000, 80)]
    publish(stopped, actor=olgas)
    assert rows(stopped) == []


def test_what_stays_is_not_touched(stopped: Instance, olgas: Actor) -> None:
    """A stand-in port that changed would cut connections of a running guest."""
    publish(stopped, "80", "8080", actor=olgas)
    before = PortForward.objects.get(host_port=80)
    publish(stopped, "80", "8081", actor=olgas)
    after = PortForward.objects.get(host_port=80)
    assert (after.pk, after.bound_port) == (before.pk, before.bound_port)


def test_a_low_port_gets_a_stand_in(stopped: Instance, olgas: Actor) -> None:
    publish(stopped, "80", "443", "1024", actor=olgas)
    bound = dict(PortForward.objects.values_list("host_port", "bound_port"))
    assert bound[1024] == 1024
    assert bound[80] in STAND_IN_PORTS
    assert bound[443] in STAND_IN_PORTS
    assert bound[80] != bound[443]


def test_the_same_number_of_the_other_protocol_is_another_port(stopped: Instance, olgas: Actor) -> None:
    publish(stopped, "5353", actor=olgas, udp=("5353",))
    assert len(rows(stopped)) == 2


def test_a_taken_one_is_refused_and_its_taker_named_to_the_team(stopped: Instance, running: Instance, olgas: Actor) -> None:
    with pytest.raises(Conflict, match="web1") as refusal:
        publish(stopped, "18080:80", actor=olgas)
    assert (refusal.value.code, refusal.value.fields) == ("port_busy", {"ports": [18_080]})


def test_an_address_makes_no_second_port_of_it(stopped: Instance, running: Instance) -> None:
    with pytest.raises(Conflict):
        publish(stopped, "127.0.0.2:18080:80", actor=SYSTEM)


def test_a_stand_in_is_taken_too(stopped: Instance, make_instance: Any, olgas: Actor) -> None:
    publish(stopped, "80", actor=olgas)
    stand_in = PortForward.objects.get().bound_port
    with pytest.raises(Conflict) as refusal:
        publish(make_instance("web2"), str(stand_in), actor=olgas)
    assert refusal.value.code == "port_busy"


def test_the_panels_own_port_is_its_own(stopped: Instance) -> None:
    with nothing_changes(PortForward), pytest.raises(Conflict, match="panel"):
        publish(stopped, f"{env.port}:80", actor=SYSTEM)


def test_nor_are_the_ports_of_what_it_stores_in(stopped: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-09: while the database restarts, nobody else is given the panel's password."""
    monkeypatch.setattr(env, "database_url", "postgres://opsweb:secret@localhost/opsweb")
    monkeypatch.setattr(env, "redis_url", "redis://127.0.0.1:6380/0")
    for port in (5432, 6380):
        with nothing_changes(PortForward), pytest.raises(Conflict, match="panel"):
            publish(stopped, f"{port}:80", actor=SYSTEM)
    monkeypatch.setattr(env, "database_url", "postgres://opsweb:secret@db.example/opsweb")
    publish(stopped, "5432:5432", actor=SYSTEM)


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.7", "10.0.2.2", "169.254.169.254"])
def test_only_a_superuser_leaves_the_loopback(stopped: Instance, olgas: Actor, address: str) -> None:
    with nothing_changes(PortForward), pytest.raises(Forbidden) as refusal:
        publish(stopped, f"{address}:8080:80", actor=olgas)
    assert refusal.value.code == "address_not_published"
    publish(stopped, f"{address}:8080:80", actor=SYSTEM)


def test_what_a_superuser_opened_survives_an_edit_by_others(stopped: Instance, olgas: Actor) -> None:
    publish(stopped, "0.0.0.0:8080:80", actor=SYSTEM)
    publish(stopped, "0.0.0.0:8080:80", "8081", actor=olgas)
    assert len(rows(stopped)) == 2
    with pytest.raises(Forbidden):
        publish(stopped, "0.0.0.0:8080:90", actor=olgas)


def test_the_next_free_port_is_found(host: Host, stopped: Instance, olgas: Actor) -> None:
    publish(stopped, "8088", "8089", actor=olgas)
    assert free_port(host, 8088) == 8090
    assert free_port(host, 8088, "udp") == 8088


def test_a_nic_goes_with_its_instance(running: Instance) -> None:
    running.delete()
    assert not Nic.objects.exists()
    assert not PortForward.objects.exists()
