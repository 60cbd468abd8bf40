"""networks.admin: what an admin of the panel says there goes through the services; the rest is to be looked at."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from instances import shown
from instances.models import Instance
from instances.reconcile.machine import user_nic
from networks.models import Network, PortForward, PublishedAddress
from networks.plans import plans
from networks.ports import parse_ports
from networks.reconcile.guard import GuestUser, guard_for
from networks.services.forwards import set_forwards
from networks.services.nics import NicSpec, set_nics
from opsweb.core.access import SYSTEM, Actor
from opsweb.core.models import AuditEntry, Host
from opsweb.environment import env
from opsweb.teams.models import Team
from tests.conftest import SentTasks, nothing_changes
from tests.unit.networks.conftest import MakeNetwork


@pytest.fixture
def roots(root: User, signed_in: Callable[[User], Client]) -> Client:
    return signed_in(root)


def open_ports(host: Host, instance: Instance) -> set[str]:
    """Addresses with ports that lead to a guest, in user mode or on a network; and those that QEMU is told to bind."""
    guard = guard_for(host, [GuestUser(env.uid_base + 1, instance.team_id, instance.pk)])
    inner = {forward.public for plan in plans(host) for nic in plan.nics for forward in nic.forwards}
    bound = {f"{f.host_address}:{f.host_port}" for nic in instance.nics.filter(network=None) for f in user_nic(nic).forwards}
    reached = {f"{endpoint.address}:{endpoint.port}" for endpoint in (*inner, *next(iter(guard.allowed.values())))}
    assert bound <= reached
    return reached


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


@pytest.mark.parametrize("on_network", [False, True])
def test_what_is_published_no_more_is_closed(
    roots: Client, make_network: MakeNetwork, stopped: Instance, host: Host, olgas: Actor, sent: SentTasks, on_network: bool
) -> None:
    """INV-14: a right that is taken away is gone for what used it; what an admin opened and the loopback stay."""
    if on_network:
        set_nics(stopped, [NicSpec(make_network())], actor=SYSTEM)
    row = PublishedAddress.objects.create(host=host, address="192.0.2.7", port_first=8000, port_last=8999)
    nic, where = stopped.nics.get(), {"host": host, "team_id": stopped.team_id}
    set_forwards(nic, parse_ports(["192.0.2.9:9009:80"]), actor=SYSTEM, **where)
    three = ["192.0.2.9:9009:80", "192.0.2.7:8001:80", "8002"]
    set_forwards(nic, parse_ports(three), actor=olgas, **where)
    everything = {"192.0.2.9:9009", "192.0.2.7:8001", "127.0.0.1:8002"}
    assert open_ports(host, stopped) == everything
    sent.clear()
    form = {"host": host.pk, "address": "192.0.2.7", "port_first": 8500, "port_last": 8999}
    roots.post(f"/admin/networks/publishedaddress/{row.pk}/change/", form)
    assert open_ports(host, stopped) == everything - {"192.0.2.7:8001"}
    assert ("instances.apply_forwards", (str(stopped.pk),)) in sent
    assert ("networks.keep_filter", (str(host.pk),)) in sent
    assert [item["host_port"] for item in shown.forwards(stopped) if item["withdrawn"]] == [8001]
    set_forwards(nic, parse_ports(three), actor=olgas, **where)  # an edit of something else opens nothing
    assert open_ports(host, stopped) == everything - {"192.0.2.7:8001"}
    roots.post(f"/admin/networks/publishedaddress/{row.pk}/change/", form | {"port_first": 8000})
    assert open_ports(host, stopped) == everything
    roots.post("/admin/networks/publishedaddress/", {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert not PublishedAddress.objects.exists()
    assert open_ports(host, stopped) == everything - {"192.0.2.7:8001"}
    set_forwards(nic, parse_ports(three), actor=SYSTEM, **where)  # an admin's own word
    assert open_ports(host, stopped) == everything
    assert PortForward.objects.count() == 3


def test_what_was_published_to_a_team_that_goes_is_not_everybodys(roots: Client, host: Host, other_team: Team, team: Team) -> None:
    """INV-14: no team in the list means every team."""
    rows = [PublishedAddress.objects.create(host=host, address=f"192.0.2.{number}") for number in range(3)]
    rows[0].teams.set([other_team])
    rows[1].teams.set([other_team, team])
    roots.post(f"/admin/teams/team/{other_team.pk}/delete/", {"post": "yes"})
    assert not Team.objects.filter(pk=other_team.pk).exists()
    assert {row.address: [of.name for of in row.teams.all()] for row in PublishedAddress.objects.all()} == {
        "192.0.2.1": ["payments"],
        "192.0.2.2": [],
    }
