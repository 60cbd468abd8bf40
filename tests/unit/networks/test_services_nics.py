"""networks.services.nics and forwards: addresses reserved and refused, NICs that stay what they are, forwards that move with the first."""

from typing import Any

import pytest
from django.db import transaction

from instances.models import Instance
from networks.models import Network, Nic, PortForward, PublishedAddress
from networks.ports import parse_ports
from networks.services.forwards import STAND_IN_PORTS, set_forwards
from networks.services.networks import NetworkSpec, edit
from networks.services.nics import NicSpec, set_nics
from opsweb.core.access import SYSTEM, Actor
from opsweb.core.errors import Conflict, Forbidden, Invalid, NotFound, Refusal
from opsweb.core.models import Host
from opsweb.teams.models import Team
from tests.conftest import SentTasks, nothing_changes
from tests.unit.networks.conftest import MakeNetwork


def give(instance: Instance, *specs: NicSpec, actor: Actor = SYSTEM) -> list[Nic]:
    set_nics(instance, specs, actor=actor)
    return list(instance.nics.order_by("position"))


def publish(nic: Nic, *ports: str, actor: Actor = SYSTEM) -> None:
    set_forwards(nic, parse_ports(ports), host=nic.instance.host, team_id=nic.instance.team_id, actor=actor)


def test_the_seeds_two_addresses(make_network: MakeNetwork, make_instance: Any) -> None:
    network = make_network(cidr4="192.168.42.1/24")
    nics = [give(make_instance(f"g{n}"), NicSpec(network, "tap0", address4=f"192.168.42.{n}"))[0] for n in (19, 20)]
    assert [(nic.address4, nic.is_fixed) for nic in nics] == [("192.168.42.19", True), ("192.168.42.20", True)]


def test_an_address_is_reserved_for_everyone(make_network: MakeNetwork, make_instance: Any, sent: SentTasks) -> None:
    network = make_network(cidr6="fd00:1::/64", records={"db": "192.168.33.3"})
    nics = [give(make_instance(f"g{n}"), NicSpec(network))[0] for n in range(3)]
    assert [nic.address4 for nic in nics] == ["192.168.33.2", "192.168.33.4", "192.168.33.5"]
    assert [nic.address6 for nic in nics] == ["fd00:1::2", "fd00:1::4", "fd00:1::5"]
    assert not any(nic.is_fixed for nic in nics)
    assert sent == [("networks.converge", (str(network.pk),))] * 3


def test_without_dhcp_the_guest_is_told(make_network: MakeNetwork, stopped: Instance) -> None:
    assert give(stopped, NicSpec(make_network(dhcp=False)))[0].is_fixed


def test_one_that_keeps_its_name_keeps_what_it_is(make_network: MakeNetwork, stopped: Instance) -> None:
    one, other = make_network(), make_network()
    a, b = give(stopped, NicSpec(one, "tap0"), NicSpec(other, "tap1"))
    again_b, again_a = give(stopped, NicSpec(other, "tap1", rate_kbit=1000), NicSpec(one, "tap0"))
    assert (again_a.pk, again_a.mac, again_a.tag, again_a.address4, again_a.position) == (a.pk, a.mac, a.tag, a.address4, 1)
    assert (again_b.pk, again_b.address4, again_b.rate_kbit, again_b.position) == (b.pk, b.address4, 1000, 0)


def test_who_has_no_name_gets_the_one_it_has_or_the_next(make_network: MakeNetwork, stopped: Instance) -> None:
    network = make_network()
    assert [nic.name for nic in give(stopped, NicSpec(network), NicSpec(), NicSpec(network, "lan"))] == ["tap0", "tap1", "lan"]
    macs = [nic.mac for nic in stopped.nics.all()]
    assert [nic.mac for nic in give(stopped, NicSpec(network), NicSpec(), NicSpec())] == macs
    assert [nic.name for nic in give(stopped, NicSpec(network, "tap1"), NicSpec(network))] == ["tap1", "tap0"]


def test_another_network_is_another_address(make_network: MakeNetwork, stopped: Instance, sent: SentTasks) -> None:
    one, other = make_network(cidr6="fd00:1::/64"), make_network()
    give(stopped, NicSpec(one))
    sent.clear()
    nic = give(stopped, NicSpec(other))[0]
    assert (nic.address4, nic.address6) == ("192.168.34.2", None)
    assert sorted(sent) == sorted(("networks.converge", (str(network.pk),)) for network in (one, other))
    nic = give(stopped, NicSpec())[0]
    assert (nic.network, nic.address4, nic.address6, nic.is_fixed) == (None, None, None, False)


def test_fixed_and_back_to_dhcp_is_the_same_address(make_network: MakeNetwork, stopped: Instance) -> None:
    network = make_network(cidr6="fd00:1::/64")
    nic = give(stopped, NicSpec(network, address4="192.168.33.77", address6="fd00:1::abc"))[0]
    assert (nic.is_fixed, nic.address6) == (True, "fd00:1::abc")
    nic = give(stopped, NicSpec(network))[0]
    assert (nic.address4, nic.address6, nic.is_fixed) == ("192.168.33.77", "fd00:1::abc", False)
    assert give(stopped, NicSpec(network, address4="192.168.33.19"))[0].address6 == "fd00:1::13"


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"address4": "192.168.33.1"}, "bad_address"),
        ({"address4": "192.168.33.255"}, "bad_address"),
        ({"address4": "192.168.34.9"}, "bad_address"),
        ({"address4": "x"}, "bad_address"),
        ({"address4": "192.168.33.50"}, "address_taken"),
        ({"address6": "fd00:1::32"}, "address_taken"),
        ({"address6": "fd00:2::5"}, "bad_address"),
        ({"address6": "fd00:1::1"}, "bad_address"),
        ({"name": "Tap 0"}, "invalid"),
        ({"name": "a,b=c"}, "invalid"),
        ({"rate_kbit": -1}, "invalid"),
        ({"rate_kbit": 1}, "invalid"),
    ],
)
def test_what_can_not_be_is_refused(make_network: MakeNetwork, make_instance: Any, spec: dict[str, Any], code: str) -> None:
    """INV-08; and nothing has changed then."""
    network = make_network(cidr6="fd00:1::/64")
    give(make_instance("taker"), NicSpec(network, address4="192.168.33.50"))
    instance = make_instance("web1", ports=((8080, 80),))
    refused(instance, Refusal, NicSpec(network, **spec), code=code)


def refused(instance: Instance, kind: type[Refusal], *specs: NicSpec, code: str = "") -> Refusal:
    with nothing_changes(Nic, PortForward, Network), pytest.raises(kind) as refusal, transaction.atomic():
        set_nics(instance, specs, actor=SYSTEM)
    assert not code or refusal.value.code == code
    return refusal.value


def test_the_taker_is_named_to_its_team_alone(
    make_network: MakeNetwork, make_instance: Any, other_image: Any, stopped: Instance, other_team: Team
) -> None:
    """INV-15."""
    network = make_network(shared_with=[other_team])
    give(make_instance("mine"), NicSpec(network, address4="192.168.33.50"))
    give(make_instance("secret", of=other_image), NicSpec(network, address4="192.168.33.51"))
    assert "mine" in refused(stopped, Conflict, NicSpec(network, address4="192.168.33.50")).message
    message = refused(stopped, Conflict, NicSpec(network, address4="192.168.33.51")).message
    assert "another team's instance" in message
    assert "secret" not in message


def test_two_of_one_instance_do_not_share_an_address_or_a_name(make_network: MakeNetwork, stopped: Instance) -> None:
    network = make_network()
    fixed = NicSpec(network, address4="192.168.33.50")
    refused(stopped, Conflict, fixed, fixed, code="address_taken")
    refused(stopped, Invalid, NicSpec(network, "lan"), NicSpec(network, "lan"))
    refused(stopped, Invalid, *[NicSpec() for _ in range(9)])
    refused(stopped, Invalid, NicSpec(address4="192.168.33.50"))
    refused(stopped, Invalid, NicSpec(network, address6="fd00::5"))


def test_addresses_are_handed_on_and_swapped_in_one_go(make_network: MakeNetwork, stopped: Instance) -> None:
    network = make_network()
    a, b = (NicSpec(network, f"tap{n}", address4=f"192.168.33.{19 + n}") for n in range(2))
    give(stopped, a, b)
    a, b = (NicSpec(network, f"tap{n}", address4=f"192.168.33.{20 - n}") for n in range(2))
    assert [nic.address4 for nic in give(stopped, a, b)] == ["192.168.33.20", "192.168.33.19"]
    assert [nic.address4 for nic in give(stopped, NicSpec(network, "lan", address4="192.168.33.19"))] == ["192.168.33.19"]


def test_a_new_one_does_not_get_what_a_later_one_keeps(make_network: MakeNetwork, stopped: Instance) -> None:
    network = make_network()
    give(stopped, NicSpec(network, "tap0"))
    assert [nic.address4 for nic in give(stopped, NicSpec(network, "lan"), NicSpec(network, "tap0"))] == ["192.168.33.3", "192.168.33.2"]


def test_a_strangers_network_is_not_there(make_network: MakeNetwork, stopped: Instance, other_team: Team) -> None:
    """INV-15, SEC-F1."""
    refused(stopped, NotFound, NicSpec(make_network(other_team)))


def test_a_network_of_another_host_is_out_of_reach(make_network: MakeNetwork, stopped: Instance) -> None:
    network = make_network()
    Network.objects.update(host=Host.objects.create(name="other"))
    refused(stopped, Conflict, NicSpec(network), code="other_host")


def test_a_full_network_says_so(make_network: MakeNetwork, make_instance: Any, stopped: Instance) -> None:
    network = make_network(cidr4="192.168.42.0/29")
    for number in range(5):
        give(make_instance(f"g{number}"), NicSpec(network))
    refused(stopped, Conflict, NicSpec(network), code="no_address_left")


def test_on_an_uplink_nobody_guesses(make_network: MakeNetwork, stopped: Instance) -> None:
    uplink = {"mode": "uplink", "adapter": "eth1", "cidr4": "192.168.77.1/24"}
    network = make_network(**uplink)
    refused(stopped, Invalid, NicSpec(network), code="no_address")
    assert give(stopped, NicSpec(network, address4="192.168.77.9"))[0].address4 == "192.168.77.9"


def test_the_quota_of_addresses(make_network: MakeNetwork, make_instance: Any, stopped: Instance) -> None:
    """INV-13, SEC-G3: CVE-2013-1838."""
    Team.objects.update(quota_addresses=2)
    network = make_network()
    first = make_instance("g1")
    give(first, NicSpec(network), NicSpec(network))
    refused(stopped, Conflict, NicSpec(network), code="quota")
    give(stopped, NicSpec(), NicSpec())  # user mode takes none
    Team.objects.update(quota_addresses=1)
    give(first, NicSpec(network), NicSpec(network, rate_kbit=100))  # no more than before
    give(first, NicSpec(network))
    refused(first, Conflict, NicSpec(network), NicSpec(network), code="quota")


def test_forwards_stay_with_the_first(make_network: MakeNetwork, make_instance: Any) -> None:
    instance, network = make_instance("web1", ports=((8080, 80),)), make_network()
    first = give(instance, NicSpec(network, "lan"), NicSpec(name="tap0"))[0]
    assert [forward.host_port for forward in first.forwards.all()] == [8080]
    first = give(instance, NicSpec(name="tap0"))[0]
    assert (first.name, [forward.host_port for forward in first.forwards.all()]) == ("tap0", [8080])
    give(instance)
    assert not PortForward.objects.exists()


def test_a_low_port_needs_no_stand_in_on_a_network(make_network: MakeNetwork, stopped: Instance, sent: SentTasks) -> None:
    nic = give(stopped, NicSpec(make_network()))[0]
    sent.clear()
    publish(nic, "80", "8080")
    assert dict(PortForward.objects.values_list("host_port", "bound_port")) == {80: 80, 8080: 8080}
    assert sent == [("networks.keep_filter", (str(stopped.host_id),))]
    give(stopped, NicSpec())
    assert PortForward.objects.get(host_port=80).bound_port in STAND_IN_PORTS
    give(stopped, NicSpec(Network.objects.get()))
    assert PortForward.objects.get(host_port=80).bound_port == 80


def test_the_quota_of_forwards(stopped: Instance) -> None:
    """INV-13, SEC-G3."""
    Team.objects.update(quota_forwards=3)
    nic = stopped.nics.get()
    publish(nic, "8080-8082")
    with nothing_changes(PortForward), pytest.raises(Conflict) as refusal:
        publish(nic, "8080-8083")
    assert refusal.value.code == "quota"
    publish(nic, "9080-9082")


@pytest.fixture
def published(host: Host, team: Team) -> PublishedAddress:
    return PublishedAddress.objects.create(host=host, address="192.0.2.7", port_first=8000, port_last=8999)


@pytest.mark.parametrize("port", ["192.0.2.7:8001:80", "192.0.2.7:8999:80", "8080"])
def test_a_published_address_is_for_everyone(stopped: Instance, olgas: Actor, published: PublishedAddress, port: str) -> None:
    publish(stopped.nics.get(), port, actor=olgas)
    assert PortForward.objects.count() == 1


@pytest.mark.parametrize("port", ["192.0.2.7:7999:80", "192.0.2.7:9000:80", "192.0.2.8:8080:80", "0.0.0.0:8080:80"])
def test_within_its_ports_and_no_other(stopped: Instance, olgas: Actor, published: PublishedAddress, port: str) -> None:
    with nothing_changes(PortForward), pytest.raises(Forbidden) as refusal:
        publish(stopped.nics.get(), port, actor=olgas)
    assert refusal.value.code == "address_not_published"
    assert "192.0.2.7 ports 8000-8999" in refusal.value.message


def test_published_to_others_is_not_published(stopped: Instance, olgas: Actor, published: PublishedAddress, other_team: Team) -> None:
    published.teams.set([other_team])
    with pytest.raises(Forbidden) as refusal:
        publish(stopped.nics.get(), "192.0.2.7:8080:80", actor=olgas)
    assert "192.0.2.7 ports" not in refusal.value.message
    published.teams.add(stopped.team)
    publish(stopped.nics.get(), "192.0.2.7:8080:80", actor=olgas)


def test_all_published_is_each_of_them(stopped: Instance, olgas: Actor, published: PublishedAddress) -> None:
    PublishedAddress.objects.update(address="0.0.0.0")
    publish(stopped.nics.get(), "0.0.0.0:8080:80", "192.0.2.9:8081:80", actor=olgas)
    assert PortForward.objects.count() == 2


def test_an_address_is_of_the_subnet_as_it_is_now(make_network: MakeNetwork, stopped: Instance) -> None:
    """INV-06: somebody gave the network another one between our look and the lock."""
    network = make_network()
    edit(Network.objects.get(pk=network.pk), NetworkSpec(cidr4="192.168.99.1/24"), actor=SYSTEM)
    assert [nic.address4 for nic in give(stopped, NicSpec(network))] == ["192.168.99.2"]
