"""An adapter of the host, here one end of a veth with a router behind it, as the uplink of a bridge. Linux alone."""

import os
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from networks.fabric import routes
from networks.fabric.base import FabricError
from tests.contract.breaking import Steps, die, in_a_child, refuse, watched
from tests.contract.network_benches import PLAN, changes, ip, run, snapshot
from tests.contract.tap_guests import REQUEST, TapGuest
from tests.contract.uplinks import UPLINK, beyond, fabric, reaches_router, router  # noqa: F401 — fixtures

pytestmark = pytest.mark.host


class TestUplink:
    def test_addresses_and_routes_move_and_the_host_goes_on(self, fabric):
        fabric.apply_network(UPLINK)
        assert fabric.drift(UPLINK) == ()
        assert "198.51.100" not in ip("address", "show", "dev", "up0")
        here = ip("address", "show", "dev", UPLINK.bridge)
        assert all(address in here for address in ("198.51.100.2/24", "198.51.100.3/24", "2001:db8:1::2/64"))
        table = ip("route")
        assert f"default via 198.51.100.1 dev {UPLINK.bridge} metric 50" in table
        assert f"203.0.113.0/24 via 198.51.100.1 dev {UPLINK.bridge} src 198.51.100.3" in table
        assert "up0" not in table
        assert f"default via 2001:db8:1::1 dev {UPLINK.bridge} metric 70" in ip("-6", "route")
        assert reaches_router()

    def test_the_hosts_routes_are_known_also_while_they_lead_over_the_bridge(self, fabric):
        """Another network must not take what the host reaches through the router."""
        assert ("203.0.113.0/24", "up0") in fabric.host_network().routes
        fabric.apply_network(UPLINK)
        assert ("203.0.113.0/24", UPLINK.bridge) in fabric.host_network().routes
        assert not [finding for finding in fabric.preflight(UPLINK) if finding.fatal]
        meets = replace(PLAN, cidr4="203.0.113.0/25", gateway4="203.0.113.1", nics=())
        assert "overlaps_route" in [finding.code for finding in fabric.preflight(meets) if finding.fatal]

    def test_removing_gives_all_back(self, fabric, short_path):
        """INV-22."""
        before = snapshot(short_path)
        fabric.apply_network(UPLINK)
        fabric.apply_network(UPLINK)
        fabric.remove_network(UPLINK.id, UPLINK.bridge)
        assert changes(before, snapshot(short_path)) == {}
        assert reaches_router()

    def test_removing_gives_all_back_also_to_an_adapter_that_is_down(self, fabric, short_path):
        before = snapshot(short_path)
        fabric.apply_network(UPLINK)
        ip("link", "set", "up0", "down")
        fabric.remove_network(UPLINK.id, UPLINK.bridge)
        assert changes(before, snapshot(short_path)) == {}
        assert reaches_router()

    def test_an_edit_to_nat_gives_all_back(self, fabric):
        fabric.apply_network(UPLINK)
        fabric.apply_network(PLAN)
        assert fabric.drift(PLAN) == ()
        assert "198.51.100.2/24" in ip("address", "show", "dev", "up0")
        assert reaches_router()

    def test_a_silent_router_brings_all_back_at_once(self, fabric, router, short_path):
        """As a switch does that shuts the port when it sees another MAC or a bridge."""
        before = snapshot(short_path)
        with pytest.MonkeyPatch.context() as patch:
            real = routes.put

            def cut(*arguments):
                real(*arguments)
                if "master" in ip("link", "show", "dev", "up0"):
                    beyond(router, "ip", "address", "flush", "dev", "far0", "scope", "global")

            patch.setattr("networks.fabric.routes.put", cut)
            with pytest.raises(FabricError) as caught:
                fabric.apply_network(UPLINK)
        assert caught.value.code == "would_cut_off"
        assert "198.51.100.1" in caught.value.message
        assert changes(before, snapshot(short_path)) == {}

    def test_a_move_that_fails_at_any_step_is_undone(self, fabric, short_path):
        """T1."""
        before = snapshot(short_path)
        steps = Steps()
        with watched(steps):
            fabric.apply_network(UPLINK)
        fabric.remove_network(UPLINK.id, UPLINK.bridge)
        for at in range(1, len(steps.seen) + 1):
            with watched(Steps(at, refuse)), pytest.raises(FabricError, match="on purpose"):
                fabric.apply_network(UPLINK)
            assert changes(before, snapshot(short_path)) == {}, f"at step {at}"

    @pytest.mark.parametrize("then", ["apply", "remove"])
    def test_a_move_that_dies_at_any_step_is_mended(self, fabric, short_path, then):
        """T1, INV-02: by the next pass, or by giving up the network."""
        before = snapshot(short_path)
        steps = Steps()
        with watched(steps):
            fabric.apply_network(UPLINK)
        fabric.remove_network(UPLINK.id, UPLINK.bridge)
        for at in range(1, len(steps.seen) + 1):
            with watched(Steps(at, die)):
                assert in_a_child(lambda: fabric.apply_network(UPLINK)) == 9
            if then == "apply":
                fabric.apply_network(UPLINK)
                assert fabric.drift(UPLINK) == (), f"at step {at}"
                assert reaches_router()
            fabric.remove_network(UPLINK.id, UPLINK.bridge)
            assert changes(before, snapshot(short_path)) == {}, f"at step {at}"

    def test_giving_back_may_die_too(self, fabric, short_path):
        """T1."""
        before = snapshot(short_path)
        fabric.apply_network(UPLINK)
        steps = Steps()
        with watched(steps):
            fabric.remove_network(UPLINK.id, UPLINK.bridge)
        for at in range(1, len(steps.seen) + 1):
            fabric.apply_network(UPLINK)
            with watched(Steps(at, die)):
                assert in_a_child(lambda: fabric.remove_network(UPLINK.id, UPLINK.bridge)) == 9
            fabric.remove_network(UPLINK.id, UPLINK.bridge)
            assert changes(before, snapshot(short_path)) == {}, f"at step {at}"

    @pytest.mark.parametrize(
        "command",
        [
            ("link", "set", "up0", "nomaster"),
            ("link", "set", "up0", "down"),
            ("address", "delete", "198.51.100.2/24", "dev", UPLINK.bridge),
            ("route", "delete", "default"),
            ("link", "delete", UPLINK.bridge),
        ],
        ids=lambda command: " ".join(command[:2]),
    )
    def test_what_somebody_changed_is_drift_and_mended(self, fabric, command):
        fabric.apply_network(UPLINK)
        ip(*command)
        assert fabric.drift(UPLINK)
        fabric.apply_network(UPLINK)
        assert fabric.drift(UPLINK) == ()
        assert reaches_router()

    def test_a_tap_beside_it_reaches_the_router(self, fabric):
        fabric.apply_filter([UPLINK])
        fabric.apply_network(UPLINK)
        [descriptor] = fabric.plug(UPLINK, UPLINK.nics[0])
        port = run("bridge", "-d", "link", "show", "dev", "up0")
        assert "learning on" in port
        assert " flood on" in port
        os.close(descriptor)

    def test_dhcp_when_asked_for_serves_ours_and_nobody_else(self, fabric):
        """On a network of others: no answer to a stranger, not even a refusal, and no DNS of ours."""
        plan = replace(UPLINK, dhcp=True, resolvers=())
        fabric.apply_filter([plan])
        fabric.apply_network(plan)
        [descriptor] = fabric.plug(plan, plan.nics[0])
        guest = TapGuest(descriptor, plan.nics[0].mac)
        answer = guest.lease()
        assert str(IPv4Address(answer[0])) == "198.51.100.19"
        assert answer[3] == answer[6] == IPv4Address("198.51.100.1").packed
        fabric.apply_filter(())
        guest.mac = "02:00:00:00:00:66"
        assert guest.ask_dhcp(REQUEST, wanted="198.51.100.77", seconds=1.0) is None
        guest.close()
        assert ":53 " not in run("ss", "-lnu")


class TestPreflight:
    def test_a_good_one_only_says_what_moves(self, fabric):
        assert [finding.code for finding in fabric.preflight(UPLINK)] == ["moves_addresses"]

    def test_one_without_a_link_is_refused(self, fabric, short_path):
        ip("link", "set", "up0", "down")
        before = snapshot(short_path)
        assert "would_cut_off" in [finding.code for finding in fabric.preflight(UPLINK) if finding.fatal]
        with pytest.raises(FabricError) as caught:
            fabric.apply_network(UPLINK)
        assert caught.value.code == "would_cut_off"
        assert changes(before, snapshot(short_path)) == {}
        ip("link", "set", "up0", "up")

    def test_a_port_of_another_bridge_is_refused(self, fabric):
        ip("link", "add", "foreign0", "type", "bridge")
        ip("link", "set", "up0", "master", "foreign0")
        with pytest.raises(FabricError, match="already a port"):
            fabric.apply_network(UPLINK)
        ip("link", "delete", "foreign0")

    def test_a_bridge_is_refused(self, fabric):
        ip("link", "add", "foreign0", "type", "bridge")
        with pytest.raises(FabricError, match="it is a bridge"):
            fabric.apply_network(replace(UPLINK, adapter="foreign0"))
        ip("link", "delete", "foreign0")

    def test_dhcp_needs_an_address_of_ours(self, fabric):
        plan = replace(UPLINK, cidr4="192.0.2.0/24", gateway4="192.0.2.1", nics=(), dhcp=True)
        assert ("uplink_without_address", True) in [(finding.code, finding.fatal) for finding in fabric.preflight(plan)]

    def test_an_address_by_dhcp_is_warned_of(self, fabric):
        ip("route", "add", "192.0.2.0/24", "via", "198.51.100.1", "proto", "dhcp")
        [finding] = [finding for finding in fabric.preflight(UPLINK) if finding.code == "adapter_managed"]
        assert not finding.fatal
