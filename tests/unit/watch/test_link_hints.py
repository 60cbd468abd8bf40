"""watch.watcher: a bridge of ours is a hint about its network, a tap one about all taps; nobody else's bridge is anything."""

import pytest

from instances.watch.watcher import Watcher
from networks.fabric.names import bridge_name, tap_name
from networks.models import Network
from opsweb.core.models import Host
from opsweb.environment import env
from tests.unit.networks.conftest import make_network  # noqa: F401  # a fixture

Hinted = list[tuple[str, ...]]


@pytest.fixture
def hinted(monkeypatch: pytest.MonkeyPatch) -> Hinted:
    found: Hinted = []
    monkeypatch.setattr("instances.watch.hints.Hints.hint", lambda _, *task, least=0: found.append(task))
    return found


def test_a_tap_is_a_hint_about_taps(hinted: Hinted) -> None:
    Watcher(env.host)._link_changed(tap_name(env.installation, "0000000a"))
    assert hinted == [("instances.keep_taps",)]


def test_a_bridge_is_a_hint_about_its_network(make_network: object, host: Host) -> None:  # noqa: F811
    network: Network = make_network()  # type: ignore[operator]
    watcher = Watcher(env.host)
    assert watcher._network_of(bridge_name(env.installation, network.tag)) == network.pk
    assert watcher._network_of(bridge_name(env.installation, "00000000")) is None
    Network.objects.update(host=Host.objects.create(name="other"))
    assert watcher._network_of(bridge_name(env.installation, network.tag)) is None
