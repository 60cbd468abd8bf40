"""OPS's words for bridged networking become NICs: whose network, made or found, what is told, what is refused."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from instances.imaging.opsnetwork import Bridging, NicWish
from instances.models import Image, Instance
from instances.services import bridging
from instances.services.create import InstanceSpec
from networks.models import Network, Nic
from networks.services import networks
from networks.services.networks import NetworkSpec
from networks.services.nics import NicSpec
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, Forbidden, Invalid, NotFound
from opsweb.core.models import AuditEntry, Operation
from opsweb.teams.models import Team
from tests.conftest import SentTasks, nothing_changes
from tests.unit.conftest import AtOnce

ROWS = (Instance, Network, Nic, Operation, AuditEntry)
Run = Callable[..., tuple[Instance, list[dict[str, str]]]]


@pytest.fixture
def run(team: Team, image: Image, olga: User, as_actor: Callable[[User], Actor], sent: SentTasks) -> Run:
    """`opsweb run NAME -b …` as the panel gets it; words as keywords."""

    def ask(name: str, *, may_create: bool = True, user: User = olga, explicit: Any = None, **words: Any) -> tuple[Instance, Any]:
        words = {"bridged": True, **words}
        actor, spec = as_actor(user), InstanceSpec(nics=explicit)
        instance, _, notes = bridging.create(team, name, image, spec, actor=actor, wish=Bridging(**words), may_create=may_create)
        return instance, notes

    return ask


@pytest.fixture
def lab(team: Team, host: Any, olga: User, as_actor: Callable[[User], Actor], sent: SentTasks) -> Network:
    """A network of the team that is there already, with IPv6."""
    spec = NetworkSpec(name="lab", cidr4="192.168.42.1/24", cidr6="fd00:42::/64")
    return networks.create(team, spec, actor=as_actor(olga))[0]


def nics(instance: Instance) -> list[tuple[str, str, str | None, bool]]:
    return [
        (nic.name, nic.network.name if nic.network else "", nic.address4, nic.is_fixed) for nic in instance.nics.select_related("network")
    ]


def test_the_documents_two_runs_land_on_one_network(run: Run) -> None:
    server, notes = run("server", tap_name="tap0", ip_address="192.168.42.19")
    client, more = run("client", tap_name="tap1", ip_address="192.168.42.20")
    network = Network.objects.get()
    assert (network.name, network.cidr4, network.gateway4) == ("br0", "192.168.42.0/24", "192.168.42.1")
    assert nics(server) == [("tap0", "br0", "192.168.42.19", True)]
    assert nics(client) == [("tap1", "br0", "192.168.42.20", True)]
    told = "Network br0 was made for it: 192.168.42.0/24, gateway 192.168.42.1. It stays when the instance goes."
    assert (notes, more) == ([{"field": "--bridgename", "note": told}], [])


def test_the_documents_sample_config_makes_br1_on_the_first_free_subnet(run: Run) -> None:
    instance, _ = run("web1", tap_name="tap1", bridge_name="br1")
    network = Network.objects.get()
    assert (network.name, network.cidr4) == ("br1", "192.168.33.0/24")
    assert nics(instance) == [("tap1", "br1", "192.168.33.2", False)]


def test_bridged_alone_means_br0_and_the_next_address_elsewhere_the_next_free_name(run: Run) -> None:
    run("one")
    run("two", ip_address="10.9.0.7", net_mask="255.255.0.0", gateway="10.9.255.254")
    assert list(Network.objects.order_by("name").values_list("name", "cidr4", "gateway4")) == [
        ("br0", "192.168.33.0/24", "192.168.33.1"),
        ("br1", "10.9.0.0/16", "10.9.255.254"),
    ]


def test_a_network_that_is_there_is_never_readdressed(run: Run, lab: Network) -> None:
    instance, notes = run(
        "web1", ip_address="192.168.42.19", net_mask="255.255.0.0", gateway="192.168.42.254", bridge_ip_address="192.168.42.66"
    )
    assert nics(instance) == [("tap0", "lab", "192.168.42.19", True)]
    assert [note["field"] for note in notes] == ["--netmask", "--gateway", "--bridgeipaddress"]
    assert "keeps 192.168.42.1" in notes[1]["note"]
    assert Network.objects.get().gateway4 == "192.168.42.1"


def test_ipv6_finds_its_network_or_gets_one(run: Run, lab: Network) -> None:
    there, _ = run("web1", ipv6_address="fd00:42::9")
    made, _ = run("web2", ipv6_address="fd00:43::9")
    assert [nic.address6 for nic in (there.nics.get(), made.nics.get())] == ["fd00:42::9", "fd00:43::9"]
    assert there.nics.get().network == lab
    assert Network.objects.get(name="br0").cidr6 == "fd00:43::/64"


def test_every_entry_of_nics_is_a_nic(run: Run, lab: Network) -> None:
    further = (NicWish(ip_address="192.168.42.30"), NicWish(bridge_name="other"), NicWish())
    instance, _ = run("web1", bridge_name="lab", tap_name="tap1", nics=further)
    assert nics(instance) == [
        ("tap1", "lab", "192.168.42.30", True),
        ("tap0", "other", "192.168.33.2", False),
        ("tap2", "lab", "192.168.42.2", False),
    ]


def test_without_bridged_a_nic_is_on_a_network_only_if_it_names_one(run: Run, lab: Network) -> None:
    instance, notes = run("web1", bridged=None, ip_address="192.168.42.9", nics=(NicWish(), NicWish(bridge_name="lab")))
    assert nics(instance) == [("tap0", "", None, False), ("tap1", "lab", "192.168.42.2", False)]
    assert [note["field"] for note in notes] == ["--ip-address"]
    assert "-b" in notes[0]["note"]


def test_without_any_word_it_is_one_nic_in_user_mode(run: Run) -> None:
    instance, notes = run("web1", bridged=None)
    assert (nics(instance), notes) == ([("tap0", "", None, False)], [])


def test_the_config_of_the_image_counts_where_nothing_else_is_said(run: Run, image: Image, lab: Network) -> None:
    Image.objects.update(defaults={"bridging": {"bridged": True, "tap_name": "tap1", "ip_address": "192.168.42.19"}})
    image.refresh_from_db()
    assert nics(run("web1", bridged=None)[0]) == [("tap1", "lab", "192.168.42.19", True)]
    assert nics(run("web2", bridged=None, ip_address="192.168.42.20")[0]) == [("tap1", "lab", "192.168.42.20", True)]
    assert nics(run("web3", bridged=None, explicit=[NicSpec()])[0]) == [("tap0", "", None, False)]


def test_a_word_is_named_as_it_was_written(run: Run, image: Image, lab: Network) -> None:
    """Who wrote flags is told of flags, who wrote a config of its fields; also where both speak."""
    written = {"bridged": True, "bridge_name": "lab", "net_mask": "255.255.0.0", "gateway": "192.168.42.254"}
    Image.objects.update(defaults={"bridging": written})
    image.refresh_from_db()
    _, notes = run("web1", bridged=None, gateway="192.168.42.9")
    assert [note["field"] for note in notes] == ["RunConfig.NetMask", "--gateway"]
    for words, told in (({}, "RunConfig.BridgeName"), ({"bridge_name": "lab"}, "--bridgename")):
        with pytest.raises(Invalid, match=f"or name another network by {told}"):
            run("web2", bridged=None, ip_address="192.168.43.19", **words)
    Image.objects.update(defaults={"bridging": {"bridged": True}})
    image.refresh_from_db()
    _, notes = run("web3", bridged=None)
    assert [note["field"] for note in notes] == ["RunConfig.BridgeName"]


@pytest.mark.parametrize(
    ("words", "field", "told"),
    [
        ({"bridge_name": "lab", "ip_address": "192.168.43.19"}, "bridging.ip_address", "not in 192.168.42.0/24"),
        ({"bridge_name": "lab", "ipv6_address": "fd00:43::9"}, "bridging.ipv6_address", "not in fd00:42::/64"),
        ({"ip_address": "10.9.0.7", "gateway": "10.8.0.1"}, "bridging.gateway", "not in 10.9.0.0/24"),
        ({"ip_address": "8.8.8.8"}, "cidr4", "belongs to the Internet"),
        ({"ip_address": "192.168.42.1"}, "address4", "is the gateway"),
    ],
)
def test_what_can_not_be_is_refused_and_nothing_was_made(run: Run, lab: Network, words: Any, field: str, told: str) -> None:
    with nothing_changes(*ROWS), pytest.raises(Invalid) as caught:
        run("web1", **words)
    assert field in caught.value.fields
    assert told in caught.value.message


def test_an_address_that_somebody_has_makes_no_network_and_no_instance(run: Run, lab: Network) -> None:
    run("web1", ip_address="192.168.42.19")
    with nothing_changes(*ROWS), pytest.raises(Conflict) as caught:
        run("web2", ip_address="192.168.42.19", nics=(NicWish(), NicWish(bridge_name="new")))
    assert caught.value.code == "address_taken"


def test_ipv6_on_a_network_without_it_says_how_to_get_it(run: Run) -> None:
    run("web1")
    with pytest.raises(Invalid, match="opsweb network edit br0 --ipv6 auto"):
        run("web2", bridge_name="br0", ipv6_address="fd00:42::9")


def test_no_create_explains(run: Run) -> None:
    for words, command in (
        ({"bridge_name": "br7"}, "opsweb network create --bridgename br7"),
        ({"ip_address": "192.168.42.19"}, "opsweb network create --subnet 192.168.42.0/24"),
    ):
        with nothing_changes(*ROWS), pytest.raises(Conflict) as caught:
            run("web1", may_create=False, **words)
        assert caught.value.code == "no_network"
        assert command in caught.value.message


def test_a_stranger_a_viewer_and_a_full_quota_make_nothing(run: Run, vic: User, nobody: User, team: Team) -> None:
    """INV-13, INV-14."""
    for user, error in ((vic, Forbidden), (nobody, NotFound)):
        with nothing_changes(*ROWS), pytest.raises(error):
            run("web1", user=user)
    Team.objects.update(quota_networks=0)
    with nothing_changes(*ROWS), pytest.raises(Conflict, match="networks: 1 of 0"):
        run("web1")


def test_an_instance_that_can_not_be_made_leaves_no_network(run: Run) -> None:
    run("web1", bridged=None)
    with nothing_changes(*ROWS), pytest.raises(Conflict) as caught:
        run("web1", ip_address="192.168.42.19")
    assert caught.value.code == "name_taken"


def test_names_are_the_teams_own(run: Run, other_team: Team, host: Any, root: User, as_actor: Callable[[User], Actor]) -> None:
    """SEC-C2, INV-15: another team's network of that name, or around that address, is not met, unless it is shared."""
    theirs, _ = networks.create(other_team, NetworkSpec(name="br0", cidr4="192.168.42.1/24"), actor=as_actor(root))
    assert run("web1", bridge_name="br0")[0].nics.get().network != theirs
    with nothing_changes(*ROWS), pytest.raises(Conflict) as caught:
        run("web2", ip_address="192.168.42.19")
    assert (caught.value.code, "another team's network" in caught.value.message) == ("overlap", True)
    theirs.shared_with.set([Team.objects.get(name="payments")])
    assert run("web2", ip_address="192.168.42.19")[0].nics.get().network == theirs
    assert run("web3", bridge_name="br0")[0].nics.get().network != theirs


def test_two_runs_at_once_land_on_one_network(
    file_database: None, at_once: AtOnce, team: Team, image: Image, olga: User, as_actor: Callable[[User], Actor]
) -> None:
    """INV-06."""
    actor = as_actor(olga)

    def start(number: int) -> Any:
        wish = Bridging(bridged=True, ip_address=f"192.168.42.{number}")
        return bridging.create(team, f"web{number}", image, InstanceSpec(), actor=actor, wish=wish)

    done = at_once([lambda number=number: start(number) for number in range(10, 14)])
    assert [result for result in done if not isinstance(result, tuple)] == []
    assert Network.objects.count() == 1
    assert Nic.objects.filter(network__isnull=False).count() == 4
