"""Taps over the fake host: there while their VM runs, gone with it, back when somebody deleted them (INV-02, INV-03)."""

import json
import os
from typing import Any

import pytest

from instances.hypervisor.base import Machine, TapNic, UserNic
from instances.imaging import cpio
from instances.models import Instance
from instances.reconcile import taps as keeping
from instances.reconcile.converge import converge
from instances.reconcile.drivers import hypervisor
from instances.reconcile.taps import keep_taps
from instances.services import create, power
from instances.services.create import InstanceSpec
from instances.states import Verb
from networks.fabric.base import FabricError
from networks.fabric.names import tap_name
from networks.models import Network
from networks.plans import network_plan
from networks.reconcile.drivers import fabric
from networks.services.nics import NicSpec
from networks.states import Observed
from opsweb.core.access import Actor
from opsweb.core.models import Host, Operation
from opsweb.environment import env
from opsweb.teams.models import Team
from tests.conftest import SentTasks
from tests.unit.reconcile.conftest import Make, descriptors, network_of, taps_of

pytestmark = pytest.mark.usefixtures("clean_host")


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> list[Machine]:
    """What the hypervisor was given to start."""
    given: list[Machine] = []
    start = hypervisor().start
    monkeypatch.setattr(hypervisor(), "start", lambda machine: given.append(machine) or start(machine))
    return given


def archive_of(machine: Machine) -> dict[str, str]:
    """The files that the guest's init gets."""
    part = next(part for part in machine.initrd if isinstance(part, bytes))
    return {entry.path: entry.content.decode() for entry in cpio.read(part) if entry.content}


def nic_lines(machine: Machine) -> list[str]:
    return [line.replace("'", "") for line in archive_of(machine)[".opsweb/instance"].splitlines() if line.startswith("nic ")]


def last_operation(instance: Instance) -> Operation:
    return Operation.objects.filter(target_id=instance.pk).latest("created_at")


class TestStart:
    def test_a_tap_becomes_a_nic(self, make: Make, network: Network, machines: list[Machine], sent: SentTasks) -> None:
        instance, before = make(NicSpec(network=network), ports=["18080:8080"]), descriptors()
        sent.drain()
        instance.refresh_from_db()
        assert (instance.observed, instance.message) == ("running", "")
        assert fabric().taps() == tuple(taps_of(instance))
        assert isinstance(machines[0].nics[0], TapNic)
        assert descriptors() == before, "ours are closed"
        steps = [step["name"] for step in last_operation(instance).steps]
        assert steps == ["queued", "ports", "rules", "network", "image", "QEMU"]
        assert instance.restart_to_apply == []

    def test_without_one_nothing_of_networks_is_asked(
        self, make: Make, network: Network, sent: SentTasks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """accepted → exec stays short for the many."""
        instance = make(ports=["18080:8080"])
        for name in ("plug", "unplug", "taps", "filter_holds", "apply_filter"):
            monkeypatch.setattr(fabric(), name, lambda *_, name=name: pytest.fail(name))
        converge(instance.pk)
        instance.refresh_from_db()
        assert instance.observed == "running"
        assert "network" not in [step["name"] for step in last_operation(instance).steps]

    def test_the_filter_holds_before_there_is_a_tap(
        self, make: Make, network: Network, sent: SentTasks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """INV-08."""
        seen = []
        plug = fabric().plug

        def noting(plan: Any, nic: Any, queues: int) -> tuple[int, ...]:
            seen.append(fabric().filter_holds([network_plan(network)]))
            return plug(plan, nic, queues)

        monkeypatch.setattr(fabric(), "plug", noting)
        converge(make(NicSpec(network=network)).pk)
        assert seen == [True]

    def test_a_guest_asks_by_dhcp_and_has_ipv6_at_once(
        self, make: Make, network: Network, machines: list[Machine], sent: SentTasks
    ) -> None:
        instance = make(NicSpec(network=network))
        converge(instance.pk)
        nic = instance.nics.get()
        expanded = "fd00:0033:0000:0000:0000:0000:0000:0002"
        assert nic_lines(machines[0]) == [f"nic {nic.mac}    {expanded}/64 "]
        assert "etc/resolv.conf" not in archive_of(machines[0]), "DHCP brings it"

    def test_a_fixed_one_is_told(self, make: Make, network: Network, machines: list[Machine], sent: SentTasks) -> None:
        network.mtu = 1400
        network.save()
        instance = make(NicSpec(network=network, address4="192.168.33.19"))
        converge(instance.pk)
        nic = instance.nics.get()
        expanded = "fd00:0033:0000:0000:0000:0000:0000:0013"
        assert nic_lines(machines[0]) == [f"nic {nic.mac} 192.168.33.19 255.255.255.0 192.168.33.1 {expanded}/64 1400"]
        assert archive_of(machines[0])["etc/resolv.conf"] == "search br0.internal\nnameserver 192.168.33.1\n"

    def test_names_are_asked_where_the_way_out_is(
        self, make: Make, network: Network, team: Team, host: Host, machines: list[Machine], sent: SentTasks
    ) -> None:
        """An isolated network leads nowhere: it is no gateway, and its names come second."""
        lab = network_of(team, host, "lab", 34, mode="isolated")
        fixed = (NicSpec(network=lab, address4="192.168.34.9"), NicSpec(network=network, address4="192.168.33.9"))
        converge(make(*fixed).pk)
        first, second = nic_lines(machines[0])
        assert first.split()[1:5] != second.split()[1:5]
        assert "192.168.34.1" not in first
        assert "192.168.33.1" in second
        assert archive_of(machines[0])["etc/resolv.conf"] == "search br0.internal\nnameserver 192.168.33.1\n"

    def test_a_network_and_user_mode_side_by_side(self, make: Make, network: Network, machines: list[Machine], sent: SentTasks) -> None:
        instance = make(NicSpec(network=network), NicSpec(), nameservers=["192.0.2.53"])
        converge(instance.pk)
        assert [type(nic) for nic in machines[0].nics] == [TapNic, UserNic]
        assert machines[0].nics[1].network == "10.0.3.0/24"
        assert archive_of(machines[0])["etc/resolv.conf"] == "nameserver 192.0.2.53\n"

    def test_it_waits_for_a_network_on_its_way(self, make: Make, network: Network, sent: SentTasks) -> None:
        Network.objects.update(observed=Observed.UNKNOWN)
        instance = make(NicSpec(network=network))
        converge(instance.pk)
        instance.refresh_from_db()
        assert (instance.observed, last_operation(instance).status) == ("absent", "running")
        Network.objects.update(observed=Observed.UP)
        converge(instance.pk)
        instance.refresh_from_db()
        assert (instance.observed, last_operation(instance).status) == ("running", "succeeded")

    def test_a_network_that_failed_says_why(self, make: Make, network: Network, sent: SentTasks) -> None:
        Network.objects.update(observed=Observed.FAILED, message="dnsmasq is not installed.")
        instance = make(NicSpec(network=network))
        converge(instance.pk)
        operation = last_operation(instance)
        assert (operation.status, operation.error_code) == ("failed", "network_failed")
        assert operation.error_message == "Network br0 is not up: dnsmasq is not installed."

    def test_inv_15_why_another_teams_network_failed_is_theirs(
        self, make: Make, network: Network, team: Team, other_team: Team, sent: SentTasks
    ) -> None:
        instance = make(NicSpec(network=network))
        network.shared_with.add(team)
        Network.objects.update(team=other_team, observed=Observed.FAILED, message="secret")
        converge(instance.pk)
        assert last_operation(instance).error_message == "Network br0 is not up: Ask the team that it belongs to."

    def test_sec_f2_a_network_that_is_not_open_to_the_team_is_refused(
        self, make: Make, network: Network, other_team: Team, sent: SentTasks
    ) -> None:
        instance = make(NicSpec(network=network))
        Network.objects.update(team=other_team)
        converge(instance.pk)
        assert last_operation(instance).error_code == "network_refused"
        assert fabric().taps() == ()

    def test_t1_a_start_that_fails_leaves_no_tap(self, make: Make, network: Network, team: Team, host: Host, sent: SentTasks) -> None:
        lab = network_of(team, host, "lab", 34)
        instance, before = make(NicSpec(network=network), NicSpec(network=lab)), descriptors()
        (env.run_dir / "fail_next_start").write_text("No.")
        converge(instance.pk)
        assert last_operation(instance).error_message == "No."
        assert (fabric().taps(), descriptors()) == ((), before)

    def test_t1_a_second_tap_that_fails_takes_the_first_along(
        self, make: Make, network: Network, team: Team, host: Host, sent: SentTasks
    ) -> None:
        lab = network_of(team, host, "lab", 34)
        instance, before = make(NicSpec(network=network), NicSpec(network=lab)), descriptors()
        fabric().remove_network(lab.pk, network_plan(lab).bridge)
        converge(instance.pk)
        assert last_operation(instance).error_code == "link_refused"
        assert (fabric().taps(), descriptors()) == ((), before)


class TestEnd:
    @pytest.mark.parametrize("verb", [Verb.FORCE_OFF, Verb.DELETE])
    def test_the_tap_goes_with_the_vm(self, verb: Verb, make: Make, network: Network, ask: Any, sent: SentTasks) -> None:
        instance = make(NicSpec(network=network))
        sent.drain()
        assert len(fabric().taps()) == 1
        ask(verb, instance)
        assert fabric().taps() == ()

    def test_it_goes_after_a_crash(self, make: Make, network: Network, sent: SentTasks) -> None:
        instance = make(NicSpec(network=network))
        converge(instance.pk)
        hypervisor().crash(instance.pk)
        converge(instance.pk)
        assert fabric().taps() == ()

    def test_a_refusal_of_the_host_does_not_keep_a_vm_from_its_end(
        self, make: Make, network: Network, ask: Any, sent: SentTasks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(tap: str) -> None:
            raise FabricError("link_refused", f"{tap} stays.")

        instance = make(NicSpec(network=network))
        sent.drain()
        monkeypatch.setattr(fabric(), "unplug", refuse)
        ask(Verb.DELETE, instance)
        assert not Instance.objects.exists()

    def test_a_deleted_ones_networks_hear_of_it(self, make: Make, network: Network, olgas: Actor, sent: SentTasks) -> None:
        instance = make(NicSpec(network=network))
        converge(instance.pk)
        power.request(Verb.DELETE, instance, actor=olgas)
        sent.clear()
        converge(instance.pk)
        assert ("networks.converge", (str(network.pk),)) in sent

    def test_rounds_leave_nothing(self, make: Make, network: Network, olgas: Actor, sent: SentTasks) -> None:
        """T5."""
        instance, before = make(NicSpec(network=network)), 0
        for number in range(20):
            converge(instance.pk)
            assert len(fabric().taps()) == 1
            power.request(Verb.FORCE_OFF, instance, actor=olgas)
            converge(instance.pk)
            assert fabric().taps() == ()
            before = before if number else descriptors()
            power.request(Verb.START, instance, actor=olgas)
        assert descriptors() == before


class TestEdit:
    def test_inv_03_the_tap_of_a_nic_that_is_gone_lives_as_long_as_its_vm(
        self, make: Make, network: Network, olgas: Actor, host: Host, ask: Any, sent: SentTasks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Taken away under a running QEMU it would make that spin."""
        monkeypatch.setattr(keeping, "REAP_AFTER", 0)
        instance = make(NicSpec(network=network))
        sent.drain()
        before = fabric().taps()
        create.edit(instance, InstanceSpec(nics=[NicSpec(name="other")]), actor=olgas)
        sent.drain()
        keep_taps(hypervisor(), host)
        assert fabric().taps() == before
        ask(Verb.FORCE_OFF, instance)
        assert fabric().taps() == ()

    def test_inv_09_a_tap_left_on_the_other_bridge_is_known_to_no_rule(
        self, make: Make, network: Network, team: Team, host: Host, olgas: Actor, ask: Any, sent: SentTasks
    ) -> None:
        """A NIC that moves to another network does so at the next start; until then its old tap may say nothing."""
        lab = network_of(team, host, "lab", 34)
        instance = make(NicSpec(network=network))
        sent.drain()
        (before,) = fabric().taps()
        create.edit(instance, InstanceSpec(nics=[NicSpec(network=lab)]), actor=olgas)
        sent.drain()
        assert fabric().taps() == (before,)
        assert before not in [nic.tap for plan in (network_plan(network), network_plan(lab)) for nic in plan.nics]
        ask(Verb.FORCE_OFF, instance)
        instance = ask(Verb.START, instance)
        assert fabric().taps() == tuple(taps_of(instance)) != (before,)

    def test_rate_and_name_are_no_matter_of_a_boot(self, make: Make, network: Network, olgas: Actor, sent: SentTasks) -> None:
        instance = make(NicSpec(network=network))
        sent.drain()
        create.edit(instance, InstanceSpec(nics=[NicSpec(network=network, rate_kbit=5000)]), actor=olgas)
        instance.refresh_from_db()
        assert instance.restart_to_apply == []


class TestKeeping:
    def test_a_deleted_tap_comes_back(self, make: Make, network: Network, host: Host, sent: SentTasks) -> None:
        instance = make(NicSpec(network=network))
        converge(instance.pk)
        (tap,) = fabric().taps()
        fabric().lose_tap(tap)
        keep_taps(hypervisor(), host)
        assert fabric().taps() == (tap,)
        network.refresh_from_db()
        (drift,) = network.drift
        assert (drift["what"], drift["reason"], drift["mended"]) == ("tap tap0 of web1", "was gone", True)

    def test_inv_15_a_network_tells_its_owner_not_whose_tap_it_was(
        self, make: Make, network: Network, team: Team, other_team: Team, host: Host, sent: SentTasks
    ) -> None:
        instance = make(NicSpec(network=network))
        converge(instance.pk)
        network.shared_with.add(team)
        Network.objects.update(team=other_team)
        fabric().lose_tap(fabric().taps()[0])
        keep_taps(hypervisor(), host)
        network.refresh_from_db()
        assert "web1" not in str(network.drift)

    def test_one_that_does_not_come_back_does_not_keep_others_from_it(
        self, make: Make, network: Network, host: Host, sent: SentTasks
    ) -> None:
        for name in ("web1", "web2"):
            converge(make(*[NicSpec(network=network)] * 2, name=name).pk)
        before = set(fabric().taps())
        for tap in before:
            fabric().lose_tap(tap)
        nic = Instance.objects.get(name="web1").nics.get(position=0)
        hypervisor().detach_nic(nic.instance_id, 0)  # its QEMU holds no descriptor of it
        keep_taps(hypervisor(), host)
        assert before - set(fabric().taps()) == {tap_name(env.installation, nic.tag)}

    def test_inv_03_a_stray_goes_once_it_is_old_enough(
        self, make: Make, network: Network, host: Host, sent: SentTasks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(NicSpec(network=network))
        plan = network_plan(network)
        for fd in fabric().plug(plan, plan.nics[0]):
            os.close(fd)
        keep_taps(hypervisor(), host)
        assert fabric().taps() == (plan.nics[0].tap,), "a start may be on its way"
        monkeypatch.setattr(keeping, "REAP_AFTER", 0)
        keep_taps(hypervisor(), host)
        assert fabric().taps() == ()

    def test_inv_03_a_stray_of_nobody_goes(self, make: Make, network: Network, host: Host, sent: SentTasks) -> None:
        instance = make(NicSpec(network=network))
        plan = network_plan(network)
        for fd in fabric().plug(plan, plan.nics[0]):
            os.close(fd)
        instance.delete()
        keep_taps(hypervisor(), host)
        record = env.run_dir / "stray-taps.json"
        record.write_text(json.dumps({tap: at - keeping.REAP_AFTER for tap, at in json.loads(record.read_text()).items()}))
        keep_taps(hypervisor(), host)
        assert fabric().taps() == ()
        keep_taps(hypervisor(), host)
        assert not record.exists()
