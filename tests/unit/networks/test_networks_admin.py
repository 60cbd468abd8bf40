"""networks.admin: what an admin of the panel says there goes through the services; the rest is to be looked at."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from networks.models import Network, PublishedAddress
from networks.services.nics import NicSpec, set_nics
from opsweb.core.access import SYSTEM
from opsweb.core.models import AuditEntry, Host
from opsweb.teams.models import Team
from tests.conftest import SentTasks, nothing_changes
from tests.unit.networks.conftest import MakeNetwork


@pytest.fixture
def roots(root: User, signed_in: Callable[[User], Client]) -> Client:
    return signed_in(root)


def change(client: Client, network: Network, **fields: object) -> str:
    answer = client.post(f"/admin/networks/network/{network.pk}/change/", fields, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_sharing_and_linking_are_asked_of_the_services(roots: Client, make_network: MakeNetwork, other_team: Team, sent: SentTasks) -> None:
    one, other = make_network(), make_network()
    change(roots, one, shared_with=[other_team.pk], linked=[other.pk])
    assert list(one.shared_with.all()) == [other_team]
    assert list(one.linked.all()) == [other]
    assert set(AuditEntry.objects.filter(actor_name="root").values_list("verb", flat=True)) == {"network.edit", "network.link"}
    assert {task for task, _ in sent} == {"networks.converge", "networks.keep_filter"}


def test_a_refusal_is_said(roots: Client, make_network: MakeNetwork, make_instance: Callable[..., object], other_image: object) -> None:
    network = make_network(shared_with=[Team.objects.get(name="elsewhere")])
    instance = make_instance("theirs", of=other_image)
    set_nics(instance, [NicSpec(network)], actor=SYSTEM)
    with nothing_changes(Network, AuditEntry):
        page = change(roots, network)
    assert "Instances of elsewhere are attached" in page
    assert network.shared_with.count() == 1


def test_nothing_else_is_changed_there(roots: Client, make_network: MakeNetwork) -> None:
    network = make_network()
    with nothing_changes(Network):
        change(roots, network, name="other", cidr4="10.0.0.0/8", desired="absent")
    assert roots.get("/admin/networks/network/add/").status_code == 403
    assert roots.post(f"/admin/networks/network/{network.pk}/delete/", {"post": "yes"}).status_code == 403


def test_an_address_is_published_with_an_entry(roots: Client, host: Host) -> None:
    """INV-18."""
    form = {"host": host.pk, "address": "192.0.2.7", "port_first": 8000, "port_last": 8999}
    roots.post("/admin/networks/publishedaddress/add/", form)
    assert PublishedAddress.objects.get().address == "192.0.2.7"
    assert AuditEntry.objects.filter(verb="publishedaddress.add", actor_name="root").count() == 1
    with nothing_changes(PublishedAddress):
        assert "runs backwards" in roots.post("/admin/networks/publishedaddress/add/", form | {"port_last": 80}).content.decode()
