"""What every network driver keeps of networks, in one class for both: the fake always, the real one under `-m host`."""

import os
from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import pytest

from networks.fabric.base import Drift, FabricError, Mode
from tests.contract.network_benches import (
    ANN,
    BOB,
    FORWARDED,
    OTHER,
    PLAN,
    RULE,
    NetworkBench,
    fake_bench,
    linux_bench,
    removed_afterwards,
)
from tests.contract.uplinks import UPLINK
from tests.namespaces import in_own_namespace


@pytest.fixture(params=["fake", pytest.param("linux", marks=pytest.mark.host)])
def bench(request, short_path) -> Iterator[NetworkBench]:
    if request.param == "linux":
        in_own_namespace()
    short_path.chmod(0o755)  # as the run directory is: dnsmasq reads its files below it
    with removed_afterwards(linux_bench(short_path) if request.param == "linux" else fake_bench(short_path)) as made:
        yield made


def up(bench: NetworkBench, *plans) -> None:
    bench.fabric.apply_filter(plans)
    for plan in plans:
        bench.fabric.apply_network(plan)


def reasons(found: tuple[Drift, ...]) -> set[str]:
    return {drift.what for drift in found}


class TestNetwork:
    def test_a_network_never_made_is_drift_and_no_network(self, bench):
        assert "bridge" in reasons(bench.fabric.drift(PLAN))
        assert bench.fabric.networks() == ()
        assert bench.fabric.leases(PLAN.id) == ()

    def test_applied_it_is_as_planned_for_every_process(self, bench):
        up(bench, PLAN)
        assert bench.fabric.drift(PLAN) == ()
        assert bench.same.drift(PLAN) == ()
        assert bench.same.networks() == ((PLAN.id, PLAN.bridge),)

    def test_its_leases_have_a_directory_while_it_is_there(self, bench):
        assert not bench.fabric.lease_directory(PLAN.id).exists()
        up(bench, PLAN)
        assert bench.same.lease_directory(PLAN.id).is_dir()
        bench.fabric.remove_network(PLAN.id, PLAN.bridge)
        assert not bench.fabric.lease_directory(PLAN.id).exists()

    def test_applying_twice_is_fine(self, bench):
        """INV-05."""
        up(bench, PLAN)
        bench.same.apply_network(PLAN)
        assert bench.fabric.drift(PLAN) == ()

    @pytest.mark.parametrize("what", ["bridge", "address", "dnsmasq"])
    def test_what_a_stranger_takes_away_is_noticed_and_mended(self, bench, what):
        """INV-02."""
        up(bench, PLAN, OTHER)
        bench.lose(PLAN, what)
        assert what in reasons(bench.fabric.drift(PLAN))
        assert bench.fabric.drift(OTHER) == ()
        bench.same.apply_network(PLAN)
        assert bench.fabric.drift(PLAN) == ()

    @pytest.mark.parametrize(
        "changes",
        [
            {"gateway4": "192.168.33.2"},
            {"cidr6": "", "gateway6": "", "nics": (replace(BOB, address6=""),)},
            {"mtu": 1400},
            {"lease_seconds": 7200},
            {"mode": Mode.ISOLATED},
            {"dhcp": False},
            {"domain": "other.internal"},
            {"resolvers": ()},
            {"records": ()},
            {"nics": (BOB,)},
            {"nics": (BOB, replace(ANN, address4="192.168.33.21"))},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_an_edit_is_drift_until_it_is_applied_and_so_is_the_way_back(self, bench, changes):
        up(bench, PLAN)
        edited = replace(PLAN, **changes)
        assert bench.fabric.drift(edited)
        bench.fabric.apply_network(edited)
        assert bench.fabric.drift(edited) == ()
        assert bench.fabric.drift(PLAN)
        bench.fabric.apply_network(PLAN)
        assert bench.fabric.drift(PLAN) == ()

    def test_a_bad_value_changes_nothing(self, bench):
        """INV-11: refused by name before the host is touched."""
        up(bench, PLAN)
        for bad in (replace(PLAN, gateway4="192.168.33.1; reboot"), replace(PLAN, domain="a\nconf-file=/etc/shadow"), replace(PLAN, uid=0)):
            for call in (
                bench.fabric.apply_network,
                bench.fabric.drift,
                bench.fabric.preflight,
                lambda bad: bench.fabric.apply_filter([bad]),
            ):
                with pytest.raises(FabricError) as caught:
                    call(bad)
                assert caught.value.code == "bad_network"
        assert bench.fabric.drift(PLAN) == ()
        assert bench.fabric.filter_holds([PLAN])

    def test_two_networks_are_apart(self, bench):
        up(bench, PLAN, OTHER)
        assert bench.fabric.networks() == ((PLAN.id, PLAN.bridge), (OTHER.id, OTHER.bridge))
        bench.fabric.remove_network(PLAN.id, PLAN.bridge)
        assert bench.fabric.networks() == ((OTHER.id, OTHER.bridge),)
        assert bench.fabric.drift(OTHER) == ()

    def test_removing_takes_taps_along_and_twice_is_fine(self, bench):
        """INV-03, INV-05."""
        up(bench, PLAN)
        for descriptor in bench.fabric.plug(PLAN, BOB):
            os.close(descriptor)
        kept = bench.fabric.plug(PLAN, ANN)
        bench.fabric.remove_network(PLAN.id, PLAN.bridge)
        bench.same.remove_network(PLAN.id, PLAN.bridge)
        assert bench.fabric.networks() == ()
        assert bench.fabric.taps() == ()
        for descriptor in kept:
            os.close(descriptor)

    def test_remove_all_twice(self, bench):
        """INV-22."""
        up(bench, PLAN, OTHER)
        bench.fabric.remove_all()
        bench.fabric.remove_all()
        assert bench.fabric.networks() == ()
        assert not bench.fabric.filter_holds([PLAN])
        assert "bridge" in reasons(bench.fabric.drift(PLAN))

    def test_an_uplink_without_its_adapter_is_refused(self, bench):
        plan = replace(PLAN, mode=Mode.UPLINK, adapter="nosuch0", dhcp=False)
        assert ("no_such_adapter", True) in [(finding.code, finding.fatal) for finding in bench.fabric.preflight(plan)]
        with pytest.raises(FabricError) as caught:
            bench.fabric.apply_network(plan)
        assert caught.value.code == "link_refused"
        assert bench.fabric.networks() == ()

    def test_preflight_touches_nothing(self, bench):
        bench.fabric.preflight(PLAN)
        assert bench.fabric.networks() == ()
        assert "bridge" in reasons(bench.fabric.drift(PLAN))

    def test_the_hosts_own_network_is_without_ours(self, bench):
        before = bench.fabric.host_network()
        up(bench, PLAN)
        assert bench.fabric.host_network() == before


class TestFilter:
    def test_holds_once_applied_and_not_for_others(self, bench):
        assert not bench.fabric.filter_holds([PLAN])
        bench.fabric.apply_filter([PLAN])
        assert bench.same.filter_holds([PLAN])
        assert not bench.fabric.filter_holds([PLAN, OTHER])
        assert not bench.fabric.filter_holds([replace(PLAN, nics=(BOB,))])

    def test_a_strangers_flush_is_noticed_and_mended(self, bench):
        """INV-02."""
        bench.fabric.apply_filter([PLAN, OTHER])
        bench.flush()
        assert not bench.fabric.filter_holds([PLAN, OTHER])
        bench.same.apply_filter([PLAN, OTHER])
        assert bench.fabric.filter_holds([PLAN, OTHER])

    def test_forwards_and_rules_are_part_of_it(self, bench):
        bench.fabric.apply_filter([FORWARDED])
        bench.fabric.apply_network(FORWARDED)
        assert bench.fabric.filter_holds([FORWARDED])
        assert not bench.fabric.filter_holds([PLAN])
        assert bench.fabric.drift(FORWARDED) == ()

    def test_rules_that_are_firm_are_counted_beside_the_instances(self, bench):
        """Both lists hold, on an uplink as on a network of another team."""
        firm = replace(RULE, id=UUID(int=98), allow=False)
        held = replace(UPLINK, nics=(replace(UPLINK.nics[0], firm=(firm,), rules=(RULE,)),))
        bench.fabric.apply_filter([held])
        assert bench.fabric.counts().rules.keys() == {RULE.id, firm.id}
        assert bench.same.filter_holds([held])
        assert not bench.same.filter_holds([UPLINK])

    def test_counts_name_every_nic_and_rule(self, bench):
        up(bench, PLAN)
        counts = bench.fabric.counts()
        assert counts.nics.keys() == {BOB.tap, ANN.tap}
        assert counts.rules.keys() == {RULE.id}


class TestTaps:
    def test_plugged_it_is_there_with_a_descriptor_for_each_queue(self, bench):
        up(bench, PLAN)
        one, two = bench.fabric.plug(PLAN, BOB), bench.fabric.plug(PLAN, ANN, queues=2)
        assert (len(one), len(two)) == (1, 2)
        assert bench.same.taps() == (BOB.tap, ANN.tap)
        assert all(not os.get_inheritable(descriptor) for descriptor in one + two)
        for descriptor in one + two:
            os.close(descriptor)

    def test_unplug_twice_is_fine(self, bench):
        up(bench, PLAN)
        descriptors = bench.fabric.plug(PLAN, BOB)
        bench.fabric.unplug(BOB.tap)
        bench.same.unplug(BOB.tap)
        assert bench.fabric.taps() == ()
        for descriptor in descriptors:
            os.close(descriptor)

    def test_one_left_over_is_replaced(self, bench):
        up(bench, PLAN)
        left = bench.fabric.plug(PLAN, BOB)
        again = bench.same.plug(PLAN, BOB, queues=2)
        assert bench.fabric.taps() == (BOB.tap,)
        for descriptor in left + again:
            os.close(descriptor)

    def test_without_a_bridge_it_is_refused(self, bench):
        with pytest.raises(FabricError) as caught:
            bench.fabric.plug(PLAN, BOB)
        assert caught.value.code == "link_refused"
        assert bench.fabric.taps() == ()

    def test_a_bad_nic_is_refused(self, bench):
        up(bench, PLAN)
        with pytest.raises(FabricError) as caught:
            bench.fabric.plug(PLAN, replace(BOB, tap="eth0"))
        assert caught.value.code == "bad_network"

    def test_a_deleted_one_comes_back_to_who_held_it(self, bench):
        """Field-notes 39."""
        up(bench, PLAN)
        descriptors = bench.fabric.plug(PLAN, BOB)
        bench.lose_tap(BOB.tap)
        assert bench.fabric.taps() == ()
        bench.same.replug(PLAN, BOB, descriptors)
        assert bench.fabric.taps() == (BOB.tap,)
        for descriptor in descriptors:
            os.close(descriptor)

    def test_one_that_nobody_holds_stays_away(self, bench):
        up(bench, PLAN)
        with pytest.raises(FabricError) as caught:
            bench.fabric.replug(PLAN, BOB, ())
        assert caught.value.code == "not_plugged"
