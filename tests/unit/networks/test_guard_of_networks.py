"""The guard of user-mode guests where there are bridged ones: who reaches whose forwards, and which bridges lead outside."""

import pytest

from instances.models import Instance
from networks.fabric.base import Endpoint
from networks.fabric.names import bridge_name
from networks.models import Network, PortForward
from networks.reconcile.guard import GuestUser, guard_for
from networks.services.nics import NicSpec, set_nics
from networks.states import Desired
from opsweb.core.access import SYSTEM
from opsweb.core.models import Host
from opsweb.environment import env
from tests.unit.conftest import MakeInstance
from tests.unit.networks.conftest import MakeNetwork


@pytest.fixture
def bridged(make_instance: MakeInstance, make_network: MakeNetwork) -> Instance:
    """Its port 80 is the host's 8080."""
    instance = make_instance("bridged", ports=((8080, 80),))
    set_nics(instance, [NicSpec(make_network())], actor=SYSTEM)
    return instance


def user_of(instance: Instance) -> GuestUser:
    return GuestUser(env.uid_base + instance.uid_offset, instance.team_id, instance.pk)


def test_a_teams_vms_reach_its_forwards_to_bridged_guests(host: Host, bridged: Instance, running: Instance, foreign: Instance) -> None:
    """INV-09: where the forward leads, after translation; another team's VM reaches nothing of it."""
    ours, theirs = user_of(running), user_of(foreign)
    guard = guard_for(host, [ours, theirs])
    assert guard.bridged == {ours.uid: (Endpoint("tcp", bridged.nics.get().address4, 80),)}


def test_a_port_of_a_bridged_guest_is_bound_by_nobody(host: Host, bridged: Instance) -> None:
    """So nothing on loopback is opened for it, nor redirected, though its VM runs."""
    PortForward.objects.update(host_port=443, bound_port=61_443)
    guard = guard_for(host, [user_of(bridged)])
    assert guard.allowed == {user_of(bridged).uid: ()}
    assert guard.redirects == ()


def test_a_network_that_goes_takes_its_forwards_along(host: Host, bridged: Instance, running: Instance) -> None:
    Network.objects.update(desired=Desired.ABSENT)
    assert guard_for(host, [user_of(running)]).bridged == {}


def test_uplinks_lead_outside(host: Host, make_network: MakeNetwork) -> None:
    """The host's own way out may lie behind a bridge of ours."""
    network = make_network()
    assert guard_for(host, []).uplinks == ()
    Network.objects.update(mode=Network.Mode.UPLINK)
    assert guard_for(host, []).uplinks == (bridge_name(env.installation, network.tag),)


def test_networks_own_users_are_no_guests(host: Host) -> None:
    """A dnsmasq asks its upstream; the guard's range ends before it."""
    assert guard_for(host, []).uid_last < env.uid_base + env.network_offsets[0]
