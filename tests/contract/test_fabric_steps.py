"""Fail and die at every step (T1), do it a hundred times (T5), beside strangers (INV-04): the host is as before. Linux alone."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from networks.fabric.base import FabricError, Mode, NicPlan
from networks.fabric.linux import LinuxFabric
from tests.contract.breaking import Steps, die, in_a_child, refuse, watched
from tests.contract.network_benches import ANN, BOB, OTHER, PLAN, TAG, changes, ip, run, snapshot
from tests.namespaces import in_own_namespace

pytestmark = pytest.mark.host
EDITED = replace(PLAN, gateway4="192.168.33.2", mtu=1400, domain="other.internal", cidr6="", gateway6="", nics=(replace(BOB, address6=""),))


@pytest.fixture
def fabric(short_path) -> Iterator[LinuxFabric]:
    in_own_namespace()
    short_path.chmod(0o755)
    made = LinuxFabric(TAG, short_path)
    made.host_network()  # the first look loads what loads once
    yield made
    made.remove_all()


def number_of_steps(work: Callable[[], object]) -> int:
    steps = Steps()
    with watched(steps):
        work()
    return len(steps.seen)


class TestEveryStep:
    def test_a_create_that_fails_leaves_nothing(self, fabric, short_path):
        """T1, INV-03."""
        before = snapshot(short_path)
        total = number_of_steps(lambda: fabric.apply_network(PLAN))
        fabric.remove_network(PLAN.id, PLAN.bridge)
        assert total > 8
        for at in range(1, total + 1):
            with watched(Steps(at, refuse)), pytest.raises(FabricError, match="on purpose"):
                fabric.apply_network(PLAN)
            assert changes(before, snapshot(short_path)) == {}, f"at step {at}"

    def test_an_edit_that_fails_leaves_the_network_as_it_was(self, fabric, short_path):
        """T1."""
        fabric.apply_network(PLAN)
        total = number_of_steps(lambda: fabric.apply_network(EDITED))
        fabric.apply_network(PLAN)
        before = snapshot(short_path)
        for at in range(1, total + 1):
            with watched(Steps(at, refuse)), pytest.raises(FabricError, match="on purpose"):
                fabric.apply_network(EDITED)
            after = snapshot(short_path)
            assert len(after["processes"]) == 1, f"at step {at}"
            assert changes(before, after | {"processes": before["processes"]}) == {}, f"at step {at}"
            assert fabric.drift(PLAN) == (), f"at step {at}"

    def test_a_create_that_dies_is_finished_by_the_next_pass(self, fabric, short_path):
        """T1, INV-02."""
        before = snapshot(short_path)
        total = number_of_steps(lambda: fabric.apply_network(PLAN))
        fabric.remove_network(PLAN.id, PLAN.bridge)
        for at in range(1, total + 1):
            with watched(Steps(at, die)):
                assert in_a_child(lambda: fabric.apply_network(PLAN)) == 9
            fabric.apply_network(PLAN)
            assert fabric.drift(PLAN) == (), f"at step {at}"
            fabric.remove_network(PLAN.id, PLAN.bridge)
            assert changes(before, snapshot(short_path)) == {}, f"at step {at}"

    def test_a_create_that_dies_is_cleared_by_a_delete(self, fabric, short_path):
        """T1, INV-03: also where nothing but files or a bare bridge is left."""
        before = snapshot(short_path)
        total = number_of_steps(lambda: fabric.apply_network(PLAN))
        fabric.remove_network(PLAN.id, PLAN.bridge)
        for at in range(1, total + 1):
            with watched(Steps(at, die)):
                in_a_child(lambda: fabric.apply_network(PLAN))
            fabric.remove_all()
            assert changes(before, snapshot(short_path)) == {}, f"at step {at}"

    def test_a_delete_that_dies_is_finished_by_the_next(self, fabric, short_path):
        """T1."""
        before = snapshot(short_path)
        fabric.apply_network(PLAN)
        total = number_of_steps(lambda: fabric.remove_network(PLAN.id, PLAN.bridge))
        for at in range(1, total + 1):
            fabric.apply_network(PLAN)
            with watched(Steps(at, die)):
                assert in_a_child(lambda: fabric.remove_network(PLAN.id, PLAN.bridge)) == 9
            fabric.remove_network(PLAN.id, PLAN.bridge)
            assert changes(before, snapshot(short_path)) == {}, f"at step {at}"

    def test_a_plug_that_fails_leaves_no_tap(self, fabric, short_path):
        """T1, INV-03."""
        fabric.apply_filter([PLAN])
        fabric.apply_network(PLAN)
        closing = []
        total = number_of_steps(lambda: closing.extend(fabric.plug(PLAN, BOB, queues=2)))
        for descriptor in closing:
            os.close(descriptor)
        before = snapshot(short_path)
        assert total > 6
        for at in range(1, total + 1):
            with watched(Steps(at, refuse)), pytest.raises(FabricError, match="on purpose"):
                fabric.plug(PLAN, BOB, queues=2)
            assert changes(before, snapshot(short_path)) == {}, f"at step {at}"
            with watched(Steps(at, die)):
                assert in_a_child(lambda: fabric.plug(PLAN, BOB, queues=2)) == 9
            assert fabric.taps() == ()

    def test_a_failing_dnsmasq_takes_the_new_bridge_along(self, fabric, short_path):
        before = snapshot(short_path)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("networks.fabric.dnsmasq.DNSMASQ", Path("/nonexistent/dnsmasq"))
            with pytest.raises(FabricError) as caught:
                fabric.apply_network(PLAN)
        assert caught.value.code == "no_dnsmasq"
        assert changes(before, snapshot(short_path)) == {}


class TestManyTimes:
    @pytest.mark.timeout(400)
    def test_a_hundred_rounds_with_ten_nics_leak_nothing(self, fabric, short_path):
        """T5, INV-03: links, descriptors, processes, files, rules."""
        nics = tuple(NicPlan(f"{TAG_OF_TAPS}{n:08x}t", f"02:00:00:00:01:{n:02x}", f"vm{n}", f"192.168.33.{100 + n}") for n in range(10))
        plan = replace(PLAN, nics=nics)
        fabric.apply_filter(())
        before = snapshot(short_path)
        for _ in range(100):
            fabric.apply_filter([plan])
            fabric.apply_network(plan)
            descriptors = [descriptor for nic in nics for descriptor in fabric.plug(plan, nic)]
            assert len(fabric.taps()) == 10
            for descriptor in descriptors[:5]:  # half end like QEMU, half by the network's end
                os.close(descriptor)
            fabric.remove_network(plan.id, plan.bridge)
            for descriptor in descriptors[5:]:
                os.close(descriptor)
            fabric.apply_filter(())
        assert changes(before, snapshot(short_path)) == {}


TAG_OF_TAPS = f"ow{TAG}"


class TestStrangers:
    @pytest.fixture
    def foreign(self) -> Iterator[None]:
        ip("link", "add", "foreign0", "type", "bridge")
        ip("link", "add", "owbeef00000001b", "type", "bridge")
        ip("address", "add", "198.51.100.1/24", "dev", "foreign0")
        ip("link", "set", "foreign0", "up")
        run("nft", "add table inet ufw; add chain inet ufw forward { type filter hook forward priority 0; policy drop; }")
        yield
        ip("link", "delete", "foreign0")
        ip("link", "delete", "owbeef00000001b")
        run("nft", "delete table inet ufw")

    def test_stay_byte_identical(self, fabric, foreign, short_path):
        """INV-04, INV-22: through every call, and what remove_all leaves is what was there."""
        before = snapshot(short_path)
        fabric.apply_filter([PLAN, OTHER])
        for plan in (PLAN, EDITED, OTHER):
            fabric.preflight(plan)
            fabric.apply_network(plan)
            fabric.drift(plan)
        for descriptor in fabric.plug(OTHER, OTHER.nics[0]):
            os.close(descriptor)
        fabric.remove_network(PLAN.id, PLAN.bridge)
        fabric.remove_all()
        after = snapshot(short_path)
        # The installation owbeef has a bridge here: what we switched on may be what it needs, so it stays.
        assert after["forwarding"] == ["1\n", "1\n"]
        before["forwarding"] = after["forwarding"]
        before["files"] = [str(short_path / "forwarding")]
        assert changes(before, after) == {}

    def test_a_drop_policy_is_named_and_does_not_forbid(self, fabric, foreign):
        [finding] = fabric.preflight(PLAN)
        assert (finding.code, finding.fatal) == ("foreign_forward_drop", False)
        assert "chain forward of nft table inet ufw" in finding.message

    def test_a_route_it_would_meet_forbids(self, fabric):
        ip("link", "add", "foreign0", "type", "bridge")
        ip("address", "add", "192.168.33.77/16", "dev", "foreign0")
        ip("link", "set", "foreign0", "up")
        assert [(finding.code, finding.fatal) for finding in fabric.preflight(PLAN)] == [("overlaps_route", True)]
        ip("link", "delete", "foreign0")

    def test_a_link_of_the_bridges_name_that_is_none_is_refused(self, fabric):
        ip("link", "add", PLAN.bridge, "type", "veth", "peer", "name", "foreign1")
        with pytest.raises(FabricError) as caught:
            fabric.apply_network(PLAN)
        assert caught.value.code == "link_refused"
        assert PLAN.bridge in ip("link")
        ip("link", "delete", "foreign1")

    def test_two_installations_keep_apart(self, fabric, short_path):
        other = LinuxFabric("beef", short_path / "other")
        (short_path / "other").mkdir(mode=0o755)
        theirs = replace(OTHER, bridge="owbeef0000000bb", nics=())
        fabric.apply_network(PLAN)
        other.apply_network(theirs)
        other.remove_all()
        assert fabric.drift(PLAN) == ()
        other.apply_network(theirs)
        fabric.remove_all()
        assert other.drift(theirs) == ()
        other.remove_all()


class TestBridge:
    @pytest.mark.parametrize(
        "command",
        [
            ("link", "set", PLAN.bridge, "down"),
            ("link", "set", PLAN.bridge, "mtu", "1300"),
            ("link", "set", PLAN.bridge, "address", "02:00:00:00:00:77"),
            ("link", "set", PLAN.bridge, "type", "bridge", "nf_call_iptables", "0"),
            ("link", "set", PLAN.bridge, "type", "bridge", "stp_state", "1"),
            ("address", "add", "198.51.100.9/24", "dev", PLAN.bridge),
            ("-6", "address", "flush", "dev", PLAN.bridge, "scope", "global"),
        ],
        ids=lambda command: " ".join(command[-2:]),
    )
    def test_what_somebody_changed_is_drift_and_mended(self, fabric, command):
        fabric.apply_network(PLAN)
        ip(*command)
        assert fabric.drift(PLAN)
        fabric.apply_network(PLAN)
        assert fabric.drift(PLAN) == ()

    @pytest.mark.parametrize("setting", ["ipv4/conf/{}/route_localnet", "ipv6/conf/{}/accept_ra"])
    def test_settings_too(self, fabric, setting):
        """INV-09: 127/8 is never routed to a bridge unasked, and no guest becomes the host's router."""
        fabric.apply_network(PLAN)
        file = Path("/proc/sys/net", setting.format(PLAN.bridge))
        file.write_text("1")
        assert fabric.drift(PLAN)
        fabric.apply_network(PLAN)
        assert file.read_text() == "0\n"

    def test_taps_teach_the_bridge_nothing(self, fabric):
        """INV-08: one static entry, no learning, no flooding; up only with all that."""
        fabric.apply_filter([PLAN])
        fabric.apply_network(PLAN)
        [descriptor] = fabric.plug(PLAN, BOB)
        port = run("bridge", "-d", "link", "show", "dev", BOB.tap)
        assert "learning off" in port
        assert " flood off" in port
        assert "isolated off" in port
        assert f"{BOB.mac} master {PLAN.bridge} static" in run("bridge", "fdb", "show", "dev", BOB.tap)
        assert "inet6" not in ip("address", "show", "dev", BOB.tap)
        os.close(descriptor)
        assert fabric.taps() == ()

    def test_two_hundred_are_plugged_in_two_seconds(self, fabric):
        """Of the processor's time: what the wall clock says is for `make bench`."""
        nics = tuple(NicPlan(f"{TAG_OF_TAPS}{n:08x}t", f"02:00:00:00:01:{n:02x}", f"vm{n}", f"192.168.33.{20 + n}") for n in range(200))
        plan = replace(PLAN, nics=nics)
        fabric.apply_filter([plan])
        fabric.apply_network(plan)
        start = time.process_time()
        descriptors = [descriptor for nic in nics for descriptor in fabric.plug(plan, nic)]
        took = time.process_time() - start
        for descriptor in descriptors:
            os.close(descriptor)
        assert took <= 2

    def test_forwarding_comes_back_as_it_was(self, fabric, short_path):
        """INV-22, and one network more or less changes nothing."""
        before = snapshot(short_path)
        isolated = replace(PLAN, mode=Mode.ISOLATED)
        fabric.apply_filter([isolated])
        assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "0\n"
        fabric.apply_filter([PLAN])
        assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "1\n"
        assert Path("/proc/sys/net/ipv6/conf/all/forwarding").read_text() == "1\n"
        Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
        assert not fabric.filter_holds([PLAN])
        fabric.apply_filter([PLAN])
        assert fabric.filter_holds([PLAN])
        fabric.apply_filter(())
        after = snapshot(short_path)
        assert after["forwarding"] == before["forwarding"]
        assert "forwarding" not in {Path(file).name for file in after["files"]}

    def test_a_route_by_advertisement_stays(self, fabric):
        """IPv6 forwarding would make the kernel deaf to its router: field-notes 42."""
        ip("link", "add", "up0", "type", "veth", "peer", "name", "up1")
        ip("link", "set", "up0", "up")
        ip("link", "set", "up1", "up")
        ip("-6", "address", "add", "2001:db8::2/64", "dev", "up0", "nodad")
        ip("-6", "route", "add", "default", "via", "2001:db8::1", "dev", "up0", "proto", "ra")
        accept = Path("/proc/sys/net/ipv6/conf/up0/accept_ra")
        assert accept.read_text() == "1\n"
        assert [finding.code for finding in fabric.preflight(PLAN)] == ["would_lose_ra_route"]
        fabric.apply_filter([PLAN])
        assert accept.read_text() == "2\n"
        fabric.apply_filter(())
        assert accept.read_text() == "1\n"
        ip("link", "delete", "up0")

    def test_replug_brings_back_the_tap_on_the_descriptors_of_all_its_queues(self, fabric):
        """Field-notes 39. Those of another's tap are refused, and that stays as it is (INV-07)."""
        fabric.apply_filter([PLAN])
        fabric.apply_network(PLAN)
        bobs, anns = fabric.plug(PLAN, BOB, queues=2), fabric.plug(PLAN, ANN)
        ip("link", "delete", BOB.tap)
        for others in (anns, (*bobs, *anns)):
            with pytest.raises(FabricError) as refused:
                fabric.replug(PLAN, BOB, others)
            assert (refused.value.code, fabric.taps()) == ("not_plugged", (ANN.tap,))
        fabric.replug(PLAN, BOB, bobs)
        assert fabric.taps() == (BOB.tap, ANN.tap)
        assert f"{BOB.mac} master {PLAN.bridge} static" in run("bridge", "fdb", "show", "dev", BOB.tap)
        for descriptor in (*bobs, *anns):
            os.close(descriptor)
        assert fabric.taps() == ()
