"""networks.reconcile on the fake host: made, mended, removed; drift said; nothing written when nothing changed; safe to repeat."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import ANY
from uuid import uuid4

import pytest
from django.db.models import F
from django.utils import timezone

from instances.models import Instance
from instances.reconcile.sweep import sweep
from networks.fabric.base import Adapter, Counts, Endpoint, FabricError, HostNetwork, NetworkPlan, NicCounts
from networks.fabric.names import tap_name
from networks.models import Network, Nic, Rule
from networks.plans import network_plan, plans, sound
from networks.ports import parse_ports
from networks.reconcile import sweep as networks_sweep
from networks.reconcile.converge import converge
from networks.reconcile.drivers import fabric
from networks.reconcile.filter import keep_filter, refresh_filter
from networks.reconcile.record import KEPT_DRIFT, write_counts
from networks.services import networks
from networks.services.forwards import set_forwards
from networks.services.networks import NetworkSpec
from networks.services.nics import NicSpec, set_nics
from networks.services.rules import RuleSpec, set_rules
from networks.traffic import Rates, rates
from opsweb.core import events
from opsweb.core.access import SYSTEM
from opsweb.core.models import Host, Operation
from opsweb.environment import env
from opsweb.teams.models import Team
from tests.conftest import SentTasks, nothing_changes
from tests.unit.networks.conftest import MakeNetwork


@pytest.fixture(autouse=True)
def _clean_host() -> Iterator[None]:
    fabric().remove_all()
    networks_sweep._unknown.clear()
    yield
    fabric().remove_all()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the browsers were told."""
    heard: list[str] = []
    monkeypatch.setattr(events, "_send", lambda what, team: heard.append(what))
    return heard


@pytest.fixture
def up(make_network: MakeNetwork) -> Network:
    """A network that stands."""
    network = make_network()
    converge(network.pk)
    network.refresh_from_db()
    assert network.observed == "up"
    return network


def attach(instance: Instance, network: Network | None, **spec: Any) -> Nic:
    set_nics(instance, [NicSpec(network, **spec)], actor=SYSTEM)
    return instance.nics.get()


def here() -> set[str]:
    return {str(network) for network, _ in fabric().networks()}


def test_a_wish_becomes_a_network(host: Host, team: Team, sent: SentTasks) -> None:
    network, operation = networks.create(team, NetworkSpec(), actor=SYSTEM)
    sent.drain()
    network.refresh_from_db()
    operation.refresh_from_db()
    assert (operation.status, operation.error_message) == ("succeeded", "")
    assert [step["name"] for step in operation.steps] == ["queued", "preflight", "rules", "bridge and dnsmasq"]
    assert (network.observed, network.drift, network.message) == ("up", [], "")
    assert here() == {str(network.pk)}
    assert fabric().drift(network_plan(network)) == ()
    assert fabric().filter_holds(plans(host))


def test_a_second_pass_changes_and_tells_nothing(up: Network, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-05."""
    calls: list[str] = []
    for name in ("apply_network", "apply_filter", "preflight"):
        monkeypatch.setattr(fabric(), name, lambda *_, name=name: calls.append(name))
    with nothing_changes(Network, Operation, Host):
        converge(up.pk)
    assert told == calls == []


def test_a_wish_to_be_gone_is_met(up: Network, sent: SentTasks) -> None:
    operation = networks.delete(up, actor=SYSTEM)
    sent.drain()
    operation.refresh_from_db()
    assert operation.status == "succeeded"
    assert not Network.objects.exists()
    assert here() == set()
    assert fabric().filter_holds([])
    converge(up.pk)  # late, or twice


def test_an_edit_is_no_drift(up: Network, sent: SentTasks) -> None:
    networks.edit(up, NetworkSpec(mtu=1400), actor=SYSTEM)
    sent.drain()
    up.refresh_from_db()
    assert (up.observed, up.drift) == ("up", [])
    assert fabric().drift(network_plan(up)) == ()


@pytest.mark.parametrize("what", ["bridge", "address", "dnsmasq"])
def test_what_somebody_took_away_is_said_and_mended(up: Network, what: str, told: list[str]) -> None:
    fabric().lose(up.pk, what)  # type: ignore[attr-defined]
    converge(up.pk)
    up.refresh_from_db()
    assert [(entry["what"], entry["mended"]) for entry in up.drift] == [(what, True)]
    assert up.drift[0]["at"]
    assert fabric().drift(network_plan(up)) == ()
    assert f"network:{up.pk}" in told


def test_a_flushed_filter_is_said_and_mended(up: Network, host: Host) -> None:
    fabric().flush()  # type: ignore[attr-defined]
    keep_filter(host)
    up.refresh_from_db()
    assert [(entry["what"], entry["reason"]) for entry in up.drift] == [("filter", "was changed by somebody")]
    assert fabric().filter_holds(plans(host))


def test_drift_is_kept_within_bounds_newest_first(up: Network) -> None:
    for number in range(KEPT_DRIFT + 5):
        fabric().lose(up.pk, "bridge" if number % 2 else "dnsmasq")  # type: ignore[attr-defined]
        converge(up.pk)
    up.refresh_from_db()
    assert len(up.drift) == KEPT_DRIFT
    assert up.drift[0]["what"] == "dnsmasq"


def test_drift_that_can_not_be_mended_waits_as_one_entry(up: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: NetworkPlan) -> None:
        raise FabricError("link_refused", "The kernel said no.")

    fabric().lose(up.pk, "bridge")  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(fabric(), "apply_network", refuse)
        for _ in range(3):
            converge(up.pk)
    up.refresh_from_db()
    assert (up.observed, up.message) == ("failed", "The kernel said no.")
    assert [entry["mended"] for entry in up.drift] == [False]
    converge(up.pk)
    up.refresh_from_db()
    assert (up.observed, up.message, [entry["mended"] for entry in up.drift]) == ("up", "", [True])


def test_a_boot_is_no_drift(up: Network, host: Host) -> None:
    """INV-19: everything is made anew."""
    fabric().remove_all()
    networks_sweep.forget_networks(host)
    sweep()
    up.refresh_from_db()
    assert (up.observed, up.drift) == ("up", [])
    assert here() == {str(up.pk)}


def test_what_a_preflight_forbids_is_not_made(host: Host, team: Team, sent: SentTasks) -> None:
    network, operation = networks.create(team, NetworkSpec(cidr4="10.8.0.0/24"), actor=SYSTEM)
    eth = Adapter("eth0", ("10.8.0.9/24",), is_up=True)
    fabric().set_host(HostNetwork((("10.8.0.0/24", "eth0"),), (eth,)))  # type: ignore[attr-defined]
    try:
        sent.drain()
        network.refresh_from_db()
        operation.refresh_from_db()
        assert (operation.status, operation.error_code) == ("failed", "overlaps_route")
        assert network.observed == "failed"
        assert "eth0" in network.message
        assert here() == set()
    finally:
        _forget_host()
    converge(network.pk)
    network.refresh_from_db()
    assert (network.observed, network.message) == ("up", "")


def _forget_host() -> None:
    Path(fabric()._host).unlink()  # type: ignore[attr-defined]


def test_a_network_that_stands_goes_on_in_spite_of_a_finding(up: Network) -> None:
    fabric().set_host(HostNetwork(((up.cidr4, "eth7"),), ()))  # type: ignore[attr-defined]
    try:
        Network.objects.update(observed_at=None)
        converge(up.pk)
    finally:
        _forget_host()
    up.refresh_from_db()
    assert (up.observed, [warning["code"] for warning in up.warnings]) == ("up", ["overlaps_route"])


@pytest.mark.parametrize("step", ["preflight", "drift", "apply_filter", "apply_network", "leases"])
@pytest.mark.parametrize("fault", [FabricError("timeout", "It took too long."), RuntimeError("a mistake of ours"), KeyboardInterrupt()])
def test_a_pass_that_ends_anywhere_is_gone_on_from(
    host: Host, team: Team, sent: SentTasks, monkeypatch: pytest.MonkeyPatch, step: str, fault: BaseException
) -> None:
    """INV-02, T1: fail and kill at each step; the next pass needs nobody."""

    def fail(*_: object) -> None:
        raise fault

    network, operation = networks.create(team, NetworkSpec(), actor=SYSTEM)
    sent.clear()
    with monkeypatch.context() as patch:
        patch.setattr(fabric(), step, fail)
        if isinstance(fault, KeyboardInterrupt):
            with pytest.raises(KeyboardInterrupt):
                converge(network.pk)
        else:
            converge(network.pk)
    operation.refresh_from_db()
    assert operation.status == ("running" if isinstance(fault, KeyboardInterrupt) else "failed")
    converge(network.pk)
    network.refresh_from_db()
    operation.refresh_from_db()
    assert (network.observed, network.message) == ("up", "")
    assert not operation.is_active
    assert fabric().drift(network_plan(network)) == ()


@pytest.mark.parametrize("step", ["remove_network", "apply_filter"])
def test_a_removal_that_ends_anywhere_is_gone_on_from(up: Network, sent: SentTasks, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """INV-02, T1."""

    def fail(*_: object) -> None:
        raise FabricError("timeout", "It took too long.")

    operation = networks.delete(up, actor=SYSTEM)
    with monkeypatch.context() as patch:
        patch.setattr(fabric(), step, fail)
        sent.drain()
    operation.refresh_from_db()
    assert (operation.status, Network.objects.get().message) == ("failed", "It took too long.")
    sweep()
    assert not Network.objects.exists()
    assert here() == set()


def test_one_bad_row_stops_nobody_else(make_network: MakeNetwork, host: Host, other_team: Team, stopped: Instance) -> None:
    """SEC-G2, SEC-F2: the web process writes rows, root acts on them."""
    good, bad = make_network(resolvers=["9.9.9.9"]), make_network(other_team)
    Rule.objects.create(team=good.team, network=good, action="deny", direction="in", peer_network=bad)
    attach(stopped, good)
    for columns in (
        {"domain": "x\naddress=/#/1.2.3.4"},
        {"cidr4": "127.0.0.0/24"},
        {"gateway4": "192.168.99.1"},
        {"uid_offset": 1},
        {"mode": "bridge"},
        {"mtu": 7},
        {"records": {"a b": "1.2.3.4"}},
        {"resolvers": "127.0.0.1"},
        {"cidr6": "fd00::/64"},
        {"adapter": "eth0; reboot", "mode": "uplink"},
        {"cidr4": "not.a.network"},
        {"cidr6": "nor:this", "gateway6": "fd00::1"},
    ):
        before = Network.objects.filter(pk=bad.pk).values(*columns).get()
        Network.objects.filter(pk=bad.pk).update(**columns)
        converge(bad.pk)
        converge(good.pk)
        assert dict(Network.objects.values_list("pk", "observed")) == {good.pk: "up", bad.pk: "failed"}, columns
        taken = sound(plans(host))
        assert [plan.id for plan in taken] == [good.pk], columns
        assert fabric().filter_holds(taken)
        Network.objects.filter(pk=bad.pk).update(**before)
    converge(bad.pk)
    assert set(Network.objects.values_list("observed", flat=True)) == {"up"}


def test_leases_and_counters_come_back(up: Network, stopped: Instance, host: Host, told: list[str]) -> None:
    nic = attach(stopped, up)
    set_rules(up, [RuleSpec("deny", "out", "tcp", "25")], actor=SYSTEM)
    converge(up.pk)
    plan = network_plan(up)
    fabric().plug(plan, plan.nics[0])
    sweep()
    up.refresh_from_db()
    nic.refresh_from_db()
    assert [(lease["mac"], lease["address"], lease["name"]) for lease in up.leases] == [(nic.mac, nic.address4, "idle")]
    assert set(nic.counts) == {"in", "out", "dropped"}
    assert (nic.counted_before, nic.counted_at, Host.objects.get().counted_at) == ({}, ANY, nic.counted_at)
    assert Rule.objects.get().counts
    told.clear()
    converge(up.pk)
    assert told == []


def test_two_readings_of_the_counters_are_kept_and_told(
    up: Network, stopped: Instance, host: Host, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nic = attach(stopped, up)
    tap = tap_name(env.installation, nic.tag)

    def read(octets: int) -> Rates | None:
        """What the page says after the next sweep."""
        monkeypatch.setattr(fabric(), "counts", lambda: Counts({tap: NicCounts((octets // 100, octets), (1, 60), (0, 0))}, {}))
        told.clear()
        Host.objects.filter(counted_at__isnull=False).update(counted_at=F("counted_at") - timedelta(seconds=15))
        Nic.objects.filter(counted_at__isnull=False).update(counted_at=F("counted_at") - timedelta(seconds=15))
        host.refresh_from_db()
        write_counts(host)
        nic.refresh_from_db()
        return rates(nic.counts, nic.counted_at, nic.counted_before, read_at=host.counted_at, now=timezone.now())

    assert (read(1000), told) == (None, [f"network:{up.pk}"])
    moves = read(2500)
    assert moves is not None
    assert (round(moves.octets_in), moves.octets_out, told) == (100, 0, [f"network:{up.pk}"])
    assert (read(2500), told) == (Rates(), [f"network:{up.pk}"])  # it came to rest
    assert (read(2500), told) == (Rates(), [])
    moves = read(4000)
    assert moves is not None
    assert round(moves.octets_in) == 100  # of the last 15 s, not of all the time it rested
    assert read(10) is None  # the counters began anew


def test_a_new_nic_is_reserved_and_is_no_drift(up: Network, stopped: Instance, sent: SentTasks) -> None:
    nic = attach(stopped, up)
    assert sent == [("networks.converge", (str(up.pk),))]
    sent.drain()
    up.refresh_from_db()
    assert up.drift == []
    assert [plan.mac for plan in network_plan(up).nics] == [nic.mac]
    assert fabric().drift(network_plan(up)) == ()


def test_a_change_of_rules_reaches_the_filter(up: Network, stopped: Instance, host: Host, sent: SentTasks) -> None:
    """SEC-F3."""
    attach(stopped, up)
    sent.drain()
    set_rules(up, [RuleSpec("deny", "in", "tcp", "22")], actor=SYSTEM)
    assert sent == [("networks.keep_filter", (str(host.pk),))]
    assert not fabric().filter_holds(plans(host))
    sent.drain()
    assert fabric().filter_holds(plans(host))
    up.refresh_from_db()
    assert up.drift == []


def test_a_filter_that_is_refused_is_said_on_the_networks(
    up: Network, stopped: Instance, host: Host, sent: SentTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SEC-F3: never "no rules" in silence."""

    def refuse(_: object) -> None:
        raise FabricError("rules_refused", "nft said no.")

    attach(stopped, up)
    sent.drain()
    set_rules(up, [RuleSpec("deny", "in")], actor=SYSTEM)
    with monkeypatch.context() as patch:
        patch.setattr(fabric(), "apply_filter", refuse)
        sent.drain()
    up.refresh_from_db()
    assert (up.observed, up.message) == ("failed", "nft said no.")


def test_another_hosts_filter_is_not_ours(up: Network, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-12: the worker judges the id."""
    other = Host.objects.create(name="other")
    monkeypatch.setattr(fabric(), "apply_filter", lambda _: pytest.fail("touched"))
    monkeypatch.setattr(fabric(), "filter_holds", lambda _: False)
    refresh_filter(other.pk)


def test_another_hosts_network_is_not_ours(up: Network, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-12, SEC-D2."""
    Network.objects.update(host=Host.objects.create(name="other"), mtu=1400)
    monkeypatch.setattr(fabric(), "apply_network", lambda _: pytest.fail("touched"))
    with nothing_changes(Network):
        converge(up.pk)
    refresh_filter(10_000)


def test_a_port_that_somebody_else_holds_is_not_taken(up: Network, stopped: Instance, host: Host) -> None:
    """A DNAT binds nothing, so it would take the port of whoever listens."""
    nic = attach(stopped, up)
    set_forwards(nic, parse_ports(["8080", "80"]), host=host, team_id=stopped.team_id, actor=SYSTEM)
    fabric().listen({Endpoint("tcp", "127.0.0.1", 8080): "nginx (pid 7)"})  # type: ignore[attr-defined]
    try:
        converge(up.pk)
        keep_filter(host)
        Network.objects.update(observed_at=None)
        converge(up.pk)
        held = {Endpoint("tcp", "127.0.0.1", 8080)}
        assert fabric().filter_holds(plans(host, held=held))
        up.refresh_from_db()
        assert [warning["code"] for warning in up.warnings] == ["port_busy"]
        assert "nginx" in up.warnings[0]["message"]
    finally:
        fabric().listen({})  # type: ignore[attr-defined]


def test_the_sweep_mends_everything_and_reaps_what_no_row_knows(
    up: Network, host: Host, other_team: Team, make_network: MakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INV-03; and nothing young, which may be on its way."""
    gone = make_network(other_team)
    converge(gone.pk)
    Network.objects.filter(pk=gone.pk).delete()
    fabric().lose(up.pk, "bridge")  # type: ignore[attr-defined]
    sweep()
    assert here() == {str(up.pk), str(gone.pk)}
    now = networks_sweep.time.monotonic()
    monkeypatch.setattr(networks_sweep.time, "monotonic", lambda: now + networks_sweep.REAP_AFTER + 1)
    sweep()
    assert here() == {str(up.pk)}
    assert fabric().drift(network_plan(up)) == ()


def test_the_sweep_writes_down_the_hosts_own_network(host: Host) -> None:
    sweep()
    host.refresh_from_db()
    assert ["10.9.0.0/24", "eth1"] in host.network_facts["routes"]
    assert host.network_facts["adapters"][0]["name"] == "eth0"
    with nothing_changes(Network):
        sweep()


def test_an_operation_whose_network_is_gone_ends(host: Host, team: Team) -> None:
    for verb in ("delete", "edit"):
        Operation.objects.create(kind="network", target_id=uuid4(), target_label="br0", team=team, verb=verb, requested_by="olga")
    sweep()
    assert dict(Operation.objects.values_list("verb", "status")) == {"delete": "succeeded", "edit": "failed"}


def test_one_that_fails_keeps_nobody_from_its_turn(
    make_network: MakeNetwork, host: Host, monkeypatch: pytest.MonkeyPatch, other_team: Team
) -> None:
    first, second = sorted((make_network(), make_network(other_team)), key=lambda row: row.name)
    apply: Callable[[NetworkPlan], None] = fabric().apply_network

    def refuse_first(plan: NetworkPlan) -> None:
        if plan.id == first.pk:
            raise OSError("no")
        apply(plan)

    monkeypatch.setattr(fabric(), "apply_network", refuse_first)
    sweep()
    assert dict(Network.objects.values_list("pk", "observed")) == {first.pk: "failed", second.pk: "up"}
