"""Many at once, each with a connection of its own: names, subnets, addresses and quotas of networks hold (INV-06, INV-13)."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from instances.models import Image, Instance
from networks.models import Network, Nic, Rule
from networks.services import networks
from networks.services.networks import NetworkSpec
from networks.services.nics import NicSpec, set_nics
from networks.services.rules import RuleSpec, set_rules
from opsweb.core.access import SYSTEM
from opsweb.core.errors import Refusal
from opsweb.core.models import AuditEntry, Host, Operation
from opsweb.environment import env
from opsweb.teams.models import Team
from opsweb.teams.services import lock_team

pytestmark = pytest.mark.usefixtures("file_database")

MANY = 12
AtOnce = Callable[[Any], list[Any]]


@pytest.fixture
def teams(file_database: None) -> list[Team]:
    """Two teams, in the file, on a host."""
    Host.objects.create(name=env.host, vcpus=64, memory_mib=1_000_000)
    return [Team.objects.create(name=name, quota_networks=MANY) for name in ("one", "other")]


def make(team: Team, **spec: Any) -> Network:
    return networks.create(team, NetworkSpec(**spec), actor=SYSTEM)[0]


def attach(instance: Instance, network: Network, **spec: Any) -> None:
    """As instances.services does: in one transaction, with the team's row locked."""
    with transaction.atomic():
        lock_team(instance.team_id)
        set_nics(instance, [NicSpec(network, **spec)], actor=SYSTEM)


def instances(team: Team, number: int = MANY) -> list[Instance]:
    host = Host.objects.get()
    image = Image.objects.create(team=team, host=host, name="web", digest="ab" * 32)
    return [Instance.objects.create(team=team, host=host, image=image, name=f"web{n}", uid_offset=1 + n) for n in range(number)]


def outcomes(results: list[Any]) -> Counter[str]:
    return Counter(result.code if isinstance(result, Refusal) else "done" for result in results)


def test_defaults_taken_at_once_are_all_different(teams: list[Team], at_once: AtOnce) -> None:
    """Two teams may both take the default."""
    assert outcomes(at_once(partial(make, teams[number % 2]) for number in range(MANY))) == {"done": MANY}
    for column in ("cidr4", "uid_offset", "tag"):
        assert Network.objects.order_by().values(column).distinct().count() == MANY
    assert sorted(Network.objects.filter(team=teams[0]).values_list("name", flat=True)) == [f"br{n}" for n in range(MANY // 2)]


def test_a_name_has_one_taker(teams: list[Team], at_once: AtOnce) -> None:
    assert outcomes(at_once(partial(make, teams[0], name="lab") for _ in range(MANY))) == {"done": 1, "name_taken": MANY - 1}
    assert Operation.objects.count() == AuditEntry.objects.count() == 1


def test_a_subnet_has_one_taker(teams: list[Team], at_once: AtOnce) -> None:
    cidrs = ["10.77.0.0/24", "10.77.0.128/25", "10.76.0.0/15"] * 4
    assert outcomes(at_once(partial(make, teams[n % 2], cidr4=cidr) for n, cidr in enumerate(cidrs))) == {"done": 1, "overlap": 11}


def test_the_quota_of_networks_holds(teams: list[Team], at_once: AtOnce) -> None:
    Team.objects.update(quota_networks=3)
    assert outcomes(at_once(partial(make, teams[0]) for _ in range(MANY))) == {"done": 3, "quota": MANY - 3}


def test_an_address_has_one_taker(teams: list[Team], at_once: AtOnce) -> None:
    network = make(teams[0])
    calls = [partial(attach, instance, network, address4="192.168.33.19") for instance in instances(teams[0])]
    assert outcomes(at_once(calls)) == {"done": 1, "address_taken": MANY - 1}
    assert Nic.objects.count() == 1


def test_addresses_given_out_at_once_are_all_different(teams: list[Team], at_once: AtOnce) -> None:
    network = make(teams[0], cidr6="auto")
    assert outcomes(at_once(partial(attach, instance, network) for instance in instances(teams[0]))) == {"done": MANY}
    for column in ("address4", "address6"):
        assert Nic.objects.order_by().values(column).distinct().count() == MANY


def test_the_quota_of_addresses_holds(teams: list[Team], at_once: AtOnce) -> None:
    Team.objects.update(quota_addresses=4)
    network = make(teams[0])
    calls = [partial(attach, instance, network) for instance in instances(teams[0])]
    assert outcomes(at_once(calls)) == {"done": 4, "quota": MANY - 4}


def test_the_quota_of_rules_holds(teams: list[Team], at_once: AtOnce) -> None:
    Team.objects.update(quota_rules=7)
    rules = [RuleSpec("deny", "in", "tcp", str(port)) for port in (22, 23)]
    results = at_once(partial(set_rules, instance, rules, actor=SYSTEM) for instance in instances(teams[0]))
    assert outcomes(results) == {"done": 3, "quota": MANY - 3}
    assert Rule.objects.count() == 6


def test_nobody_attaches_to_what_goes(teams: list[Team], at_once: AtOnce) -> None:
    """INV-06."""
    network = make(teams[0])
    Operation.objects.update(status="succeeded")
    calls: list[Any] = [partial(attach, instance, network) for instance in instances(teams[0], 6)]
    outcome = outcomes(at_once([*calls, partial(networks.delete, network, actor=SYSTEM)]))
    assert outcome in ({"done": 6, "in_use": 1}, {"done": 1, "wrong_state": 6})
    assert Network.objects.get().desired == ("absent" if outcome["wrong_state"] else "present")
    assert Nic.objects.exists() is (outcome["done"] == 6)


def test_one_of_many_edits_is_taken(teams: list[Team], at_once: AtOnce) -> None:
    network = make(teams[0])
    Operation.objects.update(status="succeeded")
    calls = [partial(networks.edit, network, NetworkSpec(mtu=1400 + n), actor=SYSTEM) for n in range(MANY)]
    assert outcomes(at_once(calls)) == {"done": 1, "busy": MANY - 1}
