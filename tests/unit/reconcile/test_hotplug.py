"""NICs that come and go while their VM runs, over the fake host; killed anywhere, the next pass goes on (INV-02, INV-05)."""

from collections.abc import Callable
from typing import Any

import pytest

from instances import hotplug
from instances.hypervisor.base import SPARE_PORTS, DriverError
from instances.hypervisor.ports import KEPT
from instances.models import Instance
from instances.reconcile import taps as keeping
from instances.reconcile.converge import apply_forwards, converge
from instances.reconcile.drivers import hypervisor
from instances.reconcile.taps import keep_taps
from instances.services import create
from instances.services.create import InstanceSpec
from instances.states import Verb
from networks.models import Network
from networks.plans import network_plan
from networks.reconcile.drivers import fabric
from networks.services.nics import NicSpec
from networks.states import Observed
from opsweb.core.access import Actor
from opsweb.core.models import Host
from opsweb.teams.models import Team
from tests.conftest import SentTasks
from tests.unit.reconcile.conftest import Make, descriptors, network_of, taps_of

pytestmark = pytest.mark.usefixtures("clean_host")

Edit = Callable[..., Instance]


@pytest.fixture
def edit(olgas: Actor, sent: SentTasks) -> Edit:
    """Make these the NICs of a running instance, and let the worker do what it was sent."""

    def make_these(instance: Instance, *nics: NicSpec) -> Instance:
        create.edit(instance, InstanceSpec(nics=list(nics)), actor=olgas)
        sent.drain()
        return Instance.objects.get(pk=instance.pk)

    return make_these


@pytest.fixture
def running(make: Make, network: Network, sent: SentTasks) -> Instance:
    """One NIC on br0."""
    instance = make(NicSpec(network=network))
    sent.drain()
    return Instance.objects.get(pk=instance.pk)


def macs(instance: Instance) -> list[str]:
    """Of the NICs that its QEMU has."""
    return [mac for mac in hypervisor().nic_ports(instance.pk).values() if mac]


def macs_of_row(instance: Instance) -> list[str]:
    return [nic.mac for nic in instance.nics.all()]


def reasons(instance: Instance) -> set[tuple[str, str]]:
    return {(mark.label, mark.reason) for mark in instance.nic_marks.values()}


def test_ports_reach_a_user_mode_nic_at_the_place_that_the_running_vm_has_it(
    make: Make, network: Network, edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has become the first one, and the one before it goes at the next start."""
    instance = make(NicSpec(network=network), NicSpec(), ports=["8080"])
    converge(instance.pk)
    made: list[tuple[int, list[int]]] = []
    set_forwards = type(hypervisor()).set_forwards
    monkeypatch.setattr(
        type(hypervisor()),
        "set_forwards",
        lambda self, vm, nic, forwards: (made.append((nic, [f.host_port for f in forwards])), set_forwards(self, vm, nic, forwards)),
    )
    instance = edit(instance, NicSpec(name="tap1"))
    apply_forwards(instance.pk)
    assert made == [(1, [8080])]
    assert "nics" in instance.restart_to_apply


def test_ports_of_a_nic_that_is_user_mode_only_at_the_next_start_wait_for_it(
    running: Instance, edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(hypervisor()), "set_forwards", lambda *_: pytest.fail("the running VM has no such NIC"))
    running = edit(running, NicSpec())
    apply_forwards(running.pk)
    running.refresh_from_db()
    assert running.message == ""


class TestLive:
    def test_a_nic_comes_and_goes(self, running: Instance, network: Network, edit: Edit) -> None:
        boot = running.boot
        for _ in range(2):
            running = edit(running, NicSpec(network=network), NicSpec(network=network))
            assert macs(running) == macs_of_row(running)
            assert fabric().taps() == tuple(taps_of(running))
            assert (running.restart_to_apply, running.nic_marks, len(macs(running))) == ([], {}, 2)
            running = edit(running, NicSpec(network=network))
            assert (macs(running), fabric().taps()) == (macs_of_row(running), tuple(taps_of(running)))
            assert (running.restart_to_apply, running.nic_marks, len(macs(running))) == ([], {}, 1)
        assert (running.boot, running.message) == (boot, "")

    def test_one_in_between_goes_and_another_comes_behind(self, make: Make, network: Network, edit: Edit, sent: SentTasks) -> None:
        instance = make(*(NicSpec(network=network, name=name) for name in ("a", "b", "c")))
        sent.drain()
        instance = edit(instance, *(NicSpec(network=network, name=name) for name in ("a", "d", "c")))
        assert sorted(macs(instance)) == sorted(macs_of_row(instance))
        assert (instance.restart_to_apply, fabric().taps()) == ([], tuple(taps_of(instance)))

    def test_one_moves_to_another_network(self, running: Instance, network: Network, team: Team, host: Host, edit: Edit) -> None:
        lab = network_of(team, host, "lab", 34)
        running = edit(running, NicSpec(network=network), NicSpec(network=network, name="b"))
        running = edit(running, NicSpec(network=network), NicSpec(network=lab, name="b"))
        assert (running.restart_to_apply, fabric().taps()) == ([], tuple(taps_of(running)))
        assert macs(running) == macs_of_row(running)

    def test_inv_08_the_filter_holds_before_there_is_a_tap(
        self, running: Instance, network: Network, edit: Edit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen, plug = [], fabric().plug

        def noting(plan: Any, nic: Any, queues: int) -> tuple[int, ...]:
            seen.append(fabric().filter_holds([network_plan(network)]))
            return plug(plan, nic, queues)

        monkeypatch.setattr(fabric(), "plug", noting)
        edit(running, NicSpec(network=network), NicSpec(network=network))
        assert seen == [True]

    def test_nothing_is_asked_of_a_vm_whose_nics_are_as_they_were(self, running: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hypervisor(), "nic_ports", lambda *_: pytest.fail("asked"))
        converge(running.pk)

    def test_rounds_leave_nothing(self, running: Instance, network: Network, edit: Edit) -> None:
        """T5."""
        seen = []
        for _ in range(10):
            running = edit(running, NicSpec(network=network), NicSpec(network=network))
            running = edit(running, NicSpec(network=network))
            seen.append((descriptors(), len(fabric().taps())))
        assert set(seen[1:]) == {(seen[1][0], 1)}

    def test_inv_03_it_ends_with_its_vm(self, running: Instance, network: Network, edit: Edit, ask: Any) -> None:
        running = edit(running, NicSpec(network=network), NicSpec(network=network))
        ask(Verb.FORCE_OFF, running)
        assert fabric().taps() == ()
        ask(Verb.START, running)
        assert fabric().taps() == tuple(taps_of(running))

    def test_a_deleted_tap_of_it_comes_back(self, running: Instance, network: Network, host: Host, edit: Edit) -> None:
        running = edit(running, NicSpec(network=network), NicSpec(network=network))
        for tap in fabric().taps():
            fabric().lose_tap(tap)
        keep_taps(hypervisor(), host)
        assert fabric().taps() == tuple(taps_of(running))


class TestRestart:
    """What waits says why, and leaves the VM as it is."""

    def test_more_than_there_are_ports_for(self, running: Instance, network: Network, edit: Edit) -> None:
        many = [NicSpec(network=network)] * (2 + SPARE_PORTS)
        before = descriptors()
        running = edit(running, *many)
        assert len(macs(running)) == len(fabric().taps()) == 1 + SPARE_PORTS
        assert (running.restart_to_apply, descriptors()) == (["nics"], before)
        ((label, reason),) = reasons(running)
        assert (label, reason[:15]) == (hotplug.RESTART, "No port is free")
        running = edit(running, *many[1:])
        assert (running.restart_to_apply, running.nic_marks) == ([], {})

    @pytest.mark.parametrize("nics", [lambda br0: [NicSpec(network=br0, name="new")], lambda br0: [NicSpec(network=br0), NicSpec()]])
    def test_the_first_one_and_one_in_user_mode(self, nics: Any, running: Instance, network: Network, edit: Edit) -> None:
        before = (macs(running), fabric().taps())
        running = edit(running, *nics(network))
        assert (macs(running), fabric().taps()) == before
        assert (running.restart_to_apply, reasons(running)) == (["nics"], {(hotplug.RESTART, hotplug.OF_THE_BOOT)})

    def test_a_network_without_dhcp(self, running: Instance, network: Network, team: Team, host: Host, edit: Edit) -> None:
        lab = network_of(team, host, "lab", 34, dhcp=False)
        running = edit(running, NicSpec(network=network), NicSpec(network=lab))
        ((label, reason),) = reasons(running)
        assert (label, reason[:23]) == (hotplug.RESTART, "Its network has no DHCP")

    def test_other_addresses(self, running: Instance, network: Network, edit: Edit) -> None:
        running = edit(running, NicSpec(network=network, address4="192.168.33.77"))
        assert reasons(running) == {(hotplug.RESTART, hotplug.TOLD)}

    def test_a_guest_that_keeps_it(self, running: Instance, network: Network, edit: Edit, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is waited for once; when it lets go later, that is seen."""
        asked: list[int] = []

        def kept(vm: Any, number: int) -> None:
            asked.append(number)
            raise DriverError("timeout", KEPT)

        running = edit(running, NicSpec(network=network), NicSpec(network=network))
        with monkeypatch.context() as patched:
            patched.setattr(hypervisor(), "detach_nic", kept)
            running = edit(running, NicSpec(network=network))
            converge(running.pk)
        assert (asked, len(macs(running)), len(fabric().taps())) == ([1], 2, 2)
        assert (running.restart_to_apply, reasons(running)) == (["nics"], {(hotplug.RESTART, KEPT)})
        hypervisor().detach_nic(running.pk, 1)  # what the guest does at last
        converge(running.pk)
        running.refresh_from_db()
        assert (running.restart_to_apply, fabric().taps()) == ([], tuple(taps_of(running)))

    def test_what_is_not_the_guests_doing_is_tried_again(
        self, running: Instance, network: Network, edit: Edit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def silent(*_: Any) -> None:
            raise DriverError("timeout", "QEMU does not answer.")

        running = edit(running, NicSpec(network=network), NicSpec(network=network))
        with monkeypatch.context() as patched:
            patched.setattr(hypervisor(), "detach_nic", silent)
            running = edit(running, NicSpec(network=network))
        assert reasons(running) == {(hotplug.RESTART, "QEMU does not answer.")}
        converge(running.pk)
        running = Instance.objects.get(pk=running.pk)
        assert (running.nic_marks, macs(running), fabric().taps()) == ({}, macs_of_row(running), tuple(taps_of(running)))

    def test_a_network_that_is_not_up_yet_is_waited_for(
        self, running: Instance, network: Network, team: Team, host: Host, olgas: Actor
    ) -> None:
        lab = network_of(team, host, "lab", 34, observed=Observed.UNKNOWN)
        create.edit(running, InstanceSpec(nics=[NicSpec(network=network), NicSpec(network=lab)]), actor=olgas)
        converge(running.pk)
        running = Instance.objects.get(pk=running.pk)
        assert reasons(running) == {(hotplug.LIVE, "")}
        Network.objects.update(observed=Observed.UP)
        converge(running.pk)
        running = Instance.objects.get(pk=running.pk)
        assert (running.nic_marks, len(macs(running))) == ({}, 2)

    def test_qemu_refuses(self, running: Instance, network: Network, edit: Edit, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any) -> None:
            raise DriverError("refused", "QEMU did not take the NIC.")

        before = (fabric().taps(), descriptors())
        monkeypatch.setattr(hypervisor(), "attach_nic", refuse)
        running = edit(running, NicSpec(network=network), NicSpec(network=network))
        assert reasons(running) == {(hotplug.RESTART, "QEMU did not take the NIC.")}
        assert (fabric().taps(), descriptors(), running.message) == (before[0], before[1], "")


class Killed(BaseException):
    """What kill -9 of the worker leaves: nothing after this point has run."""


@pytest.mark.parametrize("call", ["nic_ports", "attach_nic", "detach_nic"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("undone", [True, False])
def test_t1_inv_02_killed_at_a_call_the_next_pass_goes_on(
    call: str, when: str, undone: bool, running: Instance, network: Network, olgas: Actor, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a NIC that comes, then for one that goes. `undone`: it was an error, so the tap is gone; a kill leaves it to QEMU."""
    monkeypatch.setattr(keeping, "REAP_AFTER", 0)
    real = getattr(hypervisor(), call)

    def dying(*words: Any) -> Any:
        if when == "after":
            real(*words)
        raise Killed

    for nics in ([NicSpec(network=network)] * 2, [NicSpec(network=network)]):
        create.edit(running, InstanceSpec(nics=nics), actor=olgas)
        with monkeypatch.context() as patched:
            patched.setattr(hypervisor(), call, dying)
            if not undone:
                patched.setattr(fabric(), "unplug", lambda tap: None)
            if call == "nic_ports" or (call == "attach_nic") == (len(nics) == 2):
                with pytest.raises(Killed):
                    converge(running.pk)
        converge(running.pk)
        keep_taps(hypervisor(), host)
        running = Instance.objects.get(pk=running.pk)
        assert (macs(running), fabric().taps()) == (macs_of_row(running), tuple(taps_of(running)))
        assert running.nic_marks == {}


@pytest.fixture
def cut_off(running: Instance, network: Network, olgas: Actor, monkeypatch: pytest.MonkeyPatch) -> Instance:
    """Killed once QEMU had the second NIC, before that was written down; then nobody wants it any more."""
    real = hypervisor().attach_nic

    def dying(*words: Any) -> None:
        real(*words)
        raise Killed

    create.edit(running, InstanceSpec(nics=[NicSpec(network=network)] * 2), actor=olgas)
    with monkeypatch.context() as patched:
        patched.setattr(hypervisor(), "attach_nic", dying)
        patched.setattr(fabric(), "unplug", lambda tap: None)
        with pytest.raises(Killed):
            converge(running.pk)
    create.edit(running, InstanceSpec(nics=[NicSpec(network=network)]), actor=olgas)
    assert (len(macs(running)), len(fabric().taps())) == (2, 2)
    return Instance.objects.get(pk=running.pk)


def test_t1_inv_03_a_nic_that_came_and_is_no_more_wanted_goes(cut_off: Instance, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row is gone; a sweep in between takes no tap from under it."""
    monkeypatch.setattr(keeping, "REAP_AFTER", 0)
    keep_taps(hypervisor(), host)
    assert len(fabric().taps()) == 2
    for _ in range(2):
        converge(cut_off.pk)
        assert (macs(cut_off), fabric().taps()) == (macs_of_row(cut_off), tuple(taps_of(cut_off)))
    cut_off.refresh_from_db()
    assert (cut_off.applied["nics_begun"], cut_off.nic_marks, cut_off.restart_to_apply) == ([], {}, [])


def test_inv_03_a_nic_that_came_ends_with_its_vm(cut_off: Instance, ask: Any) -> None:
    ask(Verb.FORCE_OFF, cut_off)
    assert fabric().taps() == ()


def test_a_guest_that_keeps_one_that_came_and_is_no_more_wanted_is_asked_once(cut_off: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def kept(vm: Any, number: int) -> None:
        asked.append(number)
        raise DriverError("timeout", KEPT)

    with monkeypatch.context() as patched:
        patched.setattr(hypervisor(), "detach_nic", kept)
        for _ in range(2):
            converge(cut_off.pk)
    assert (asked, len(fabric().taps())) == ([1], 2)
    hypervisor().detach_nic(cut_off.pk, 1)  # what the guest does at last
    converge(cut_off.pk)
    assert fabric().taps() == tuple(taps_of(cut_off))
