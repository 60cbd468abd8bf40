"""NICs of instances through the API: named ones, and OPS's words for them."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from instances.models import Image, Instance
from networks.models import Network, Nic
from networks.services import networks
from networks.services.networks import NetworkSpec
from opsweb.core.access import SYSTEM
from opsweb.core.models import AuditEntry, Host, Operation
from opsweb.teams.models import Team
from tests.conftest import SentTasks, nothing_changes

ApiOf = Callable[..., Any]
ROWS = (Instance, Network, Nic, Operation, AuditEntry)


@pytest.fixture
def lab(host: Host, team: Team, sent: SentTasks) -> Network:
    """192.168.42.0/24 with IPv6."""
    return networks.create(team, NetworkSpec(name="lab", cidr4="192.168.42.1/24", cidr6="fd00:42::/64"), actor=SYSTEM)[0]


def test_named_nics_of_a_new_instance(api: ApiOf, olga: User, image: Image, lab: Network) -> None:
    nics = [{"network": "lab", "name": "front", "address4": "192.168.42.19", "rate_kbit": 1000}, {}, {"network": str(lab.pk)}]
    answer = api(olga).post("instances/", {"image": "web", "nics": nics})
    assert answer.status_code == 202
    shown = answer.json()["instance"]["nics"]
    assert [(nic["name"], nic["network"], nic["address4"], nic["fixed"], nic["rate_kbit"]) for nic in shown] == [
        ("front", "lab", "192.168.42.19", True, 1000),
        ("tap0", "", "", False, 0),
        ("tap1", "lab", "192.168.42.2", False, 0),
    ]
    assert shown[0]["address6"] == "fd00:42::13"


def test_nics_of_an_instance_change(api: ApiOf, olga: User, running: Instance, lab: Network, sent: SentTasks) -> None:
    answer = api(olga)("PATCH", f"instances/{running.pk}/", {"nics": [{"network": "lab"}]})
    assert answer.status_code == 200
    assert [(nic["name"], nic["network"]) for nic in answer.json()["nics"]] == [("tap0", "lab")]
    assert answer.json()["ports"][0]["host_port"] == 18_080
    assert api(olga)("PATCH", f"instances/{running.pk}/", {"vcpus": 2}).json()["nics"] == answer.json()["nics"]


@pytest.mark.parametrize(
    ("nic", "status"),
    [
        ({"network": "theirs"}, 404),
        ({"network": "nowhere"}, 404),
        ({"network": "lab", "address4": "192.168.43.9"}, 422),
        ({"network": "lab", "address4": "192.168.42.1"}, 422),
        ({"network": "lab", "name": "Eth_0"}, 422),
        ({"network": "lab", "rate_kbit": -1}, 422),
        ({"network": "lab", "bridge": "x"}, 422),
        ({"address4": "192.168.42.9"}, 422),
    ],
)
def test_what_can_not_be_is_refused(
    api: ApiOf, olga: User, image: Image, running: Instance, lab: Network, other_team: Team, nic: Any, status: int
) -> None:
    """INV-15, SEC-D1."""
    networks.create(other_team, NetworkSpec(name="theirs"), actor=SYSTEM)
    with nothing_changes(*ROWS):
        assert api(olga).post("instances/", {"image": "web", "name": "new", "nics": [nic]}).status_code == status
        assert api(olga)("PATCH", f"instances/{running.pk}/", {"nics": [nic]}).status_code == status


def test_ops_words_beside_a_config(api: ApiOf, olga: User, image: Image, host: Host, sent: SentTasks) -> None:
    config = '{"RunConfig": {"Bridged": true, "TapName": "tap1", "BridgeName": "br1", "Gateway": "192.168.42.9"}}'
    body = {"image": "web", "config": config, "bridging": {"ip_address": "192.168.42.19", "gateway": "192.168.42.1"}}
    answer = api(olga).post("instances/", body)
    assert answer.status_code == 202
    nic = answer.json()["instance"]["nics"][0]
    assert (nic["name"], nic["network"], nic["address4"]) == ("tap1", "br1", "192.168.42.19")
    assert [note["field"] for note in answer.json()["notes"]] == ["RunConfig.BridgeName"]
    assert Network.objects.get().gateway4 == "192.168.42.1"


def test_a_wrong_address_in_a_config_is_an_error_with_its_field(api: ApiOf, olga: User, image: Image, host: Host) -> None:
    """Where OPS blanks it."""
    with nothing_changes(*ROWS):
        answer = api(olga).post("instances/", {"image": "web", "config": {"RunConfig": {"Bridged": True, "IPAddress": "192.168.42.999"}}})
    assert (answer.status_code, answer.json()["fields"]["field"]) == (422, ["RunConfig.IPAddress"])


@pytest.mark.parametrize(
    ("bridging", "status"),
    [
        ({"bridged": True, "ip_address": "192.168.42.999"}, 422),
        ({"bridged": True, "net_mask": "0.0.0.255"}, 422),
        ({"bridged": True, "bridge_name": "../br0"}, 422),
        ({"bridged": True, "tap_name": "eth0:1"}, 422),
        ({"bridged": True, "nics": [{}] * 9}, 422),
        ({"bridged": True, "bridge": "br0"}, 422),
        ({"bridged": True, "bridge_name": "br9", "create_network": False}, 409),
    ],
)
def test_words_that_make_no_sense_are_refused(api: ApiOf, olga: User, image: Image, host: Host, bridging: Any, status: int) -> None:
    """SEC-C2, SEC-D1."""
    with nothing_changes(*ROWS):
        assert api(olga).post("instances/", {"image": "web", "bridging": bridging}).status_code == status


def test_nics_and_words_at_once_are_refused(api: ApiOf, olga: User, image: Image, host: Host) -> None:
    with nothing_changes(*ROWS):
        assert api(olga).post("instances/", {"image": "web", "bridging": {"bridged": True}, "nics": []}).status_code == 422


def test_an_image_keeps_the_words_of_its_config(api: ApiOf, olga: User, host: Host, upload: Any, sent: SentTasks) -> None:
    """`opsweb run -c` builds the image with the config and starts the instance without it."""
    config = '{"RunConfig": {"Bridged": true, "IPAddress": "192.168.42.19"}}'
    assert api(olga).post("images/", {"name": "g", "program": str(upload.pk), "config": config}).status_code == 202
    Image.objects.update(digest="ab" * 32)
    assert api(olga).post("instances/", {"image": "g"}).json()["instance"]["nics"][0]["address4"] == "192.168.42.19"
