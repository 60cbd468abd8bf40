"""NICs of instances as people ask for them: whose networks, where ports lead, what a refusal leaves."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from instances import shown
from instances.api.answers import with_relations
from instances.models import Image, Instance
from instances.services import create
from instances.services.create import InstanceSpec
from networks.models import Network, Nic, PortForward
from networks.services.nics import NicSpec
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, Invalid, NotFound
from opsweb.core.models import AuditEntry, Host, Operation
from opsweb.environment import env
from opsweb.teams.models import Team
from tests.conftest import SentTasks, nothing_changes


@pytest.fixture
def olgas(olga: User, as_actor: Callable[[User], Actor]) -> Actor:
    return as_actor(olga)


def network_of(team: Team, host: Host, name: str = "br0", third: int = 33) -> Network:
    number = env.network_offsets.start + Network.objects.count()
    prefix = f"192.168.{third}"
    v6 = {"cidr6": f"fd00:{third}::/64", "gateway6": f"fd00:{third}::1"}
    return Network.objects.create(team=team, host=host, name=name, uid_offset=number, cidr4=f"{prefix}.0/24", gateway4=f"{prefix}.1", **v6)


@pytest.fixture
def network(team: Team, host: Host) -> Network:
    return network_of(team, host)


def made(image: Image, actor: Actor, *nics: NicSpec, name: str = "web1", **values: object) -> Instance:
    instance, _ = create.create(image.team, name, image, InstanceSpec(nics=nics, **values), actor=actor, start=False)  # type: ignore[arg-type]
    return with_relations(Instance.objects.all()).get(pk=instance.pk)


def test_without_a_word_it_is_one_nic_in_user_mode(image: Image, olgas: Actor, sent: SentTasks) -> None:
    instance, _ = create.create(image.team, "web1", image, InstanceSpec(ports=["18080"]), actor=olgas)
    nic = instance.nics.get()
    assert (nic.name, nic.network, nic.position, nic.address4) == ("tap0", None, 0, None)
    assert nic.forwards.get().host_port == 18_080


def test_ports_lead_to_the_first_nic_wherever_it_is(image: Image, network: Network, olgas: Actor, sent: SentTasks) -> None:
    instance = made(image, olgas, NicSpec(network=network), NicSpec(), ports=["18080:80"])
    assert [(nic.name, nic.forwards.count()) for nic in instance.nics.all()] == [("tap0", 1), ("tap1", 0)]
    create.edit(instance, InstanceSpec(nics=[NicSpec(), NicSpec(network=network)], ports=["18081:80"]), actor=olgas)
    assert PortForward.objects.get().nic.network is None


def test_its_addresses_are_shown_before_its_forwards(image: Image, network: Network, olgas: Actor, sent: SentTasks) -> None:
    instance = made(image, olgas, NicSpec(network=network, address4="192.168.33.19", rate_kbit=5000), ports=["18080:80"])
    assert shown.addresses(instance) == ["192.168.33.19", "fd00:33::13", "127.0.0.1:18080"]
    (nic,) = shown.nics(instance)
    assert nic == {
        "name": "tap0", "network": "br0", "mac": instance.nics.all()[0].mac, "address4": "192.168.33.19", "address6": "fd00:33::13",
        "fixed": True, "rate_kbit": 5000, "counts": {},
    }  # fmt: skip


def test_without_a_nic_no_port_leads_in(image: Image, olgas: Actor, sent: SentTasks) -> None:
    instance = made(image, olgas)
    assert shown.nics(instance) == []
    with nothing_changes(Instance, Nic, PortForward, AuditEntry), pytest.raises(Invalid, match="Without a NIC"):
        create.edit(instance, InstanceSpec(ports=["18080"]), actor=olgas)


def test_sec_f1_another_teams_network_is_not_there_until_it_is_shared(
    image: Image, other_team: Team, host: Host, olgas: Actor, sent: SentTasks
) -> None:
    """INV-15."""
    theirs = network_of(other_team, host, "theirs")
    with nothing_changes(Instance, Nic, Operation, AuditEntry), pytest.raises(NotFound):
        made(image, olgas, NicSpec(network=theirs))
    mine = made(image, olgas, NicSpec(), name="mine")
    with nothing_changes(Instance, Nic, AuditEntry), pytest.raises(NotFound):
        create.edit(mine, InstanceSpec(nics=[NicSpec(network=theirs)]), actor=olgas)
    theirs.shared_with.add(image.team)
    assert made(image, olgas, NicSpec(network=theirs)).nics.get().network == theirs


def test_an_address_has_one_taker(image: Image, network: Network, olgas: Actor, sent: SentTasks) -> None:
    made(image, olgas, NicSpec(network=network, address4="192.168.33.19"))
    with nothing_changes(Instance, Nic, Operation, AuditEntry), pytest.raises(Conflict) as taken:
        made(image, olgas, NicSpec(network=network, address4="192.168.33.19"), name="web2")
    assert taken.value.code == "address_taken"


def test_a_new_name_is_told_to_its_networks(image: Image, network: Network, olgas: Actor, sent: SentTasks) -> None:
    instance = made(image, olgas, NicSpec(network=network), NicSpec(network=network))
    sent.clear()
    create.edit(instance, InstanceSpec(), actor=olgas, name="web9")
    assert [task for task in sent if task[0] == "networks.converge"] == [("networks.converge", (str(network.pk),))]
