"""The reconciler over the fake host: every road leads to the wish, and a guest's own end is taken note of (INV-02, INV-05, INV-06)."""

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User

from instances.models import Image, Instance
from instances.reconcile import converge as module
from instances.reconcile.converge import converge
from instances.reconcile.drivers import hypervisor
from instances.reconcile.host import after_host_reboot
from instances.reconcile.sweep import end_orphans, reap, sweep
from instances.services import create, power
from instances.services.create import InstanceSpec
from instances.states import Verb
from networks.fabric.base import Endpoint
from opsweb.core.access import Actor
from opsweb.core.models import Host, Operation
from opsweb.teams.models import Team
from tests.conftest import SentTasks

Make = Callable[..., Instance]


@pytest.fixture(autouse=True)
def _clean_host() -> Iterator[None]:
    """The fake host keeps its VMs in files: each test leaves none."""
    yield
    for vm in hypervisor().list():
        hypervisor().erase(vm)


@pytest.fixture
def image(host: Host, team: Team) -> Image:
    """A built image."""
    return Image.objects.create(team=team, host=host, name="web", digest="0" * 64, facts={"program": "/web", "hosts": []})


@pytest.fixture
def make(team: Team, image: Image, olga: User, as_actor: Callable[[User], Actor], sent: SentTasks) -> Make:
    """Create an instance through the service; nothing has run yet."""

    def build(name: str = "web1", **values: Any) -> Instance:
        start = values.pop("start", True)
        instance, _ = create.create(team, name, image, InstanceSpec(**values), actor=as_actor(olga), start=start)
        return instance

    return build


@pytest.fixture
def ask(olga: User, as_actor: Callable[[User], Actor], sent: SentTasks) -> Callable[[Verb, Instance], Operation]:
    """Press a verb and let the worker do what it was sent."""

    def press(verb: Verb, instance: Instance) -> Operation:
        operation = power.request(verb, instance, actor=as_actor(olga))
        sent.drain()
        operation.refresh_from_db()
        return operation

    return press


def settled(instance: Instance, observed: str, seconds: float = 5) -> Instance:
    """Converge, as the watcher's hints do, until it is seen as `observed`; bounded."""
    deadline = time.monotonic() + seconds
    while True:
        converge(instance.pk)
        instance.refresh_from_db()
        if instance.observed == observed:
            return instance
        assert time.monotonic() < deadline, f"{instance.observed}, not {observed}"
        time.sleep(0.02)


def last_operation(instance: Instance) -> Operation:
    return Operation.objects.filter(target_id=instance.pk).latest("created_at")


def test_a_created_instance_runs_and_its_operation_has_its_steps(make: Make, sent: SentTasks) -> None:
    instance = make(ports=["8080"])
    assert (instance.desired, instance.observed) == ("running", "absent")
    sent.drain()
    instance.refresh_from_db()
    assert (instance.observed, instance.message) == ("running", "")
    operation = last_operation(instance)
    assert (operation.status, [step["name"] for step in operation.steps]) == ("succeeded", ["queued", "ports", "rules", "image", "QEMU"])


def test_a_lost_message_is_made_good_by_the_sweep(make: Make, sent: SentTasks) -> None:
    """INV-02."""
    instance = make()
    sent.clear()
    sweep()
    instance.refresh_from_db()
    assert instance.observed == "running"
    assert last_operation(instance).status == "succeeded"


def test_doing_it_twice_starts_one(make: Make, sent: SentTasks) -> None:
    """INV-05."""
    instance = make()
    converge(instance.pk)
    instance.refresh_from_db()
    boot = instance.boot
    converge(instance.pk)
    sent.drain()
    instance.refresh_from_db()
    assert instance.boot == boot != ""


def test_stop_asks_the_guest_and_ends(make: Make, ask: Any, sent: SentTasks) -> None:
    instance = make()
    sent.drain()
    operation = ask(Verb.STOP, instance)
    assert operation.status == "running"
    settled(instance, "stopped")
    operation.refresh_from_db()
    assert operation.status == "succeeded"
    assert instance.exit["reason"] == "request"
    assert not hypervisor().observe(instance.pk).pid


def test_a_guest_that_ignores_the_power_button_is_forced_after_its_time(
    make: Make, ask: Any, sent: SentTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.3)
    instance = make(args=["--ignore-powerdown"])
    sent.drain()
    ask(Verb.STOP, instance)
    settled(instance, "stopped")
    assert [step["name"] for step in last_operation(instance).steps] == ["queued", "power down", "kill"]


def test_force_off_pushes_a_stop_aside(make: Make, ask: Any, sent: SentTasks) -> None:
    instance = make(args=["--ignore-powerdown"])
    sent.drain()
    stop = ask(Verb.STOP, instance)
    force = ask(Verb.FORCE_OFF, instance)
    stop.refresh_from_db()
    assert (stop.status, force.status) == ("superseded", "succeeded")
    instance.refresh_from_db()
    assert instance.observed == "stopped"


def test_pause_and_resume(make: Make, ask: Any, sent: SentTasks) -> None:
    instance = make()
    sent.drain()
    assert ask(Verb.PAUSE, instance).status == "succeeded"
    instance.refresh_from_db()
    assert instance.observed == "paused"
    assert ask(Verb.RESUME, instance).status == "succeeded"
    instance.refresh_from_db()
    assert instance.observed == "running"


def test_a_paused_one_is_resumed_to_hear_the_power_button(make: Make, ask: Any, sent: SentTasks) -> None:
    instance = make()
    sent.drain()
    ask(Verb.PAUSE, instance)
    ask(Verb.STOP, instance)
    settled(instance, "stopped")
    assert [step["name"] for step in last_operation(instance).steps] == ["queued", "resume", "power down"]


def test_reboot_is_a_new_boot_with_the_changed_values(make: Make, ask: Any, sent: SentTasks, olga: User, as_actor: Any) -> None:
    instance = make()
    sent.drain()
    instance.refresh_from_db()
    first = instance.boot
    create.edit(instance, InstanceSpec(args=["-v"]), actor=as_actor(olga))
    instance.refresh_from_db()
    assert instance.restart_to_apply == ["args"]
    operation = ask(Verb.REBOOT, instance)
    deadline = time.monotonic() + 5
    while operation.status == "running" and time.monotonic() < deadline:
        converge(instance.pk)
        operation.refresh_from_db()
    instance.refresh_from_db()
    assert operation.status == "succeeded"
    assert (instance.observed, instance.restart_to_apply) == ("running", [])
    assert instance.boot not in ("", first)


def test_reset_keeps_the_process(make: Make, ask: Any, sent: SentTasks) -> None:
    instance = make()
    sent.drain()
    pid = hypervisor().observe(instance.pk).pid
    assert ask(Verb.RESET, instance).status == "succeeded"
    assert hypervisor().observe(instance.pk).pid == pid


def test_a_program_that_ends_is_taken_note_of(make: Make, sent: SentTasks) -> None:
    instance = make(args=["--exit-after=0.1", "--exit-code=3"])
    sent.drain()
    settled(instance, "stopped")
    assert (instance.desired, instance.exit["reason"], instance.exit["code"]) == ("stopped", "guest", 3)
    assert not hypervisor().observe(instance.pk).pid


def test_a_crash_is_taken_note_of(make: Make, sent: SentTasks) -> None:
    instance = make(args=["--crash-after=0.1"])
    sent.drain()
    settled(instance, "crashed")
    assert (instance.desired, instance.exit["reason"]) == ("stopped", "crash")


@pytest.mark.parametrize(
    ("policy", "code", "again"), [("never", 1, False), ("on-failure", 1, True), ("on-failure", 0, False), ("always", 0, True)]
)
def test_the_restart_policy_decides(make: Make, sent: SentTasks, policy: str, code: int, again: bool) -> None:
    instance = make(args=["--exit-after=0.1", f"--exit-code={code}"], restart_policy=policy)
    sent.drain()
    settled(instance, "stopped")
    assert (instance.desired == "running", instance.is_held) == (again, again)
    if again:
        first = instance.boot
        Instance.objects.filter(pk=instance.pk).update(start_after=None)
        converge(instance.pk)
        instance.refresh_from_db()
        assert instance.boot not in ("", first)
        assert instance.restarts == 1


def test_the_policy_backs_off(make: Make, sent: SentTasks) -> None:
    instance = make(args=["--exit-after=0.05", "--exit-code=1"], restart_policy="always")
    sent.drain()
    waits = []
    for _ in range(3):
        settled(instance, "stopped")
        waits.append((instance.start_after - instance.observed_at).total_seconds())
        Instance.objects.filter(pk=instance.pk).update(start_after=None)
        converge(instance.pk)
    assert [round(wait) for wait in waits] == [2, 4, 8]


def test_an_old_end_is_not_taken_for_a_new_one(make: Make, ask: Any, sent: SentTasks) -> None:
    instance = make(args=["--exit-after=0.1"])
    sent.drain()
    settled(instance, "stopped")
    assert ask(Verb.START, instance).status == "succeeded"
    instance.refresh_from_db()
    assert (instance.observed, instance.exit) == ("running", None)


def test_a_failed_start_says_why_and_leaves_nothing(make: Make, sent: SentTasks) -> None:
    (hypervisor().paths(uuid4()).run.parents[1] / "fail_next_start").write_text("Could not set up host forwarding rule")
    instance = make()
    sent.drain()
    instance.refresh_from_db()
    operation = last_operation(instance)
    assert (operation.status, operation.error_code) == ("failed", "start_failed")
    assert "forwarding rule" in operation.error_message
    assert instance.message == operation.error_message
    assert (instance.desired, hypervisor().observe(instance.pk).pid) == ("stopped", None)


def test_a_busy_port_is_an_error_before_anything_starts(make: Make, sent: SentTasks, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {Endpoint("tcp", "127.0.0.1", 8080): "nginx (pid 33)"}
    monkeypatch.setattr(module, "busy_ports", lambda wanted: taken)
    instance = make(ports=["8080"])
    sent.drain()
    instance.refresh_from_db()
    assert last_operation(instance).error_code == "port_busy"
    assert "nginx (pid 33)" in instance.message
    assert hypervisor().observe(instance.pk).boot == ""


def test_an_address_that_the_host_does_not_have_is_an_error_before_anything_starts(
    make: Make, sent: SentTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "foreign_addresses", lambda wanted: frozenset({"192.0.2.7"}))
    instance = make(ports=["8080"])
    sent.drain()
    instance.refresh_from_db()
    assert last_operation(instance).error_code == "bad_address"
    assert instance.message.startswith("192.0.2.7 is no address of this host.")
    assert hypervisor().observe(instance.pk).boot == ""


def test_an_instance_waits_for_its_image(make: Make, image: Image, sent: SentTasks) -> None:
    Image.objects.filter(pk=image.pk).update(digest="")
    image.refresh_from_db()
    instance = make()
    converge(instance.pk)
    assert last_operation(instance).status == "running"
    Image.objects.filter(pk=image.pk).update(digest="1" * 64)
    converge(instance.pk)
    assert last_operation(instance).status == "succeeded"


def test_a_failed_image_fails_the_start_with_its_sentence(make: Make, image: Image, sent: SentTasks) -> None:
    Image.objects.filter(pk=image.pk).update(digest="", error="libfoo.so.1 is missing.")
    image.refresh_from_db()
    instance = make()
    sent.drain()
    assert "libfoo.so.1 is missing." in last_operation(instance).error_message


def test_too_little_memory_for_the_image_is_said_before_it_boots(make: Make, image: Image, sent: SentTasks) -> None:
    Image.objects.filter(pk=image.pk).update(size=100 * 1024**2)
    instance = make(memory_mib=128)
    sent.drain()
    assert last_operation(instance).error_code == "too_little_memory"
    assert "364 MiB" in last_operation(instance).error_message


def test_delete_leaves_nothing(make: Make, ask: Any, sent: SentTasks) -> None:
    """INV-03."""
    instance = make(ports=["8080"])
    sent.drain()
    paths = hypervisor().paths(instance.pk)
    assert paths.state.exists()
    operation = ask(Verb.DELETE, instance)
    assert operation.status == "succeeded"
    assert not Instance.objects.filter(pk=instance.pk).exists()
    assert not paths.state.exists()
    assert not paths.run.exists()


def test_a_vm_that_no_row_wants_is_reaped_once_it_is_old(make: Make, sent: SentTasks, monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-03: not before, or the reaper would race a create."""
    instance = make()
    sent.drain()
    vm = instance.pk
    Instance.objects.filter(pk=vm).delete()
    assert reap(hypervisor()) == []
    monkeypatch.setattr("instances.reconcile.sweep.REAP_AFTER", -1)
    assert reap(hypervisor()) == [vm]
    assert not hypervisor().paths(vm).state.exists()


def test_an_operation_whose_target_is_gone_ends(make: Make, sent: SentTasks) -> None:
    instance = make()
    Instance.objects.filter(pk=instance.pk).delete()
    end_orphans()
    assert last_operation(instance).status == "failed"


def test_a_draining_host_stops_everything_and_keeps_the_wish(make: Make, host: Host, sent: SentTasks) -> None:
    instance = make()
    sent.drain()
    Host.objects.filter(pk=host.pk).update(is_draining=True)
    settled(instance, "stopped")
    assert instance.desired == "running"
    Host.objects.filter(pk=host.pk).update(is_draining=False)
    sweep()
    instance.refresh_from_db()
    assert instance.observed == "running"


def test_after_a_host_reboot_only_what_starts_by_itself_comes_back(make: Make, host: Host, sent: SentTasks) -> None:
    """INV-19."""
    comes, stays = make("comes"), make("stays", autostart=False)
    sent.drain()
    after_host_reboot(host)
    assert [Instance.objects.get(pk=i.pk).desired for i in (comes, stays)] == ["running", "stopped"]


def test_a_start_that_nobody_waits_for_is_tried_again_later(make: Make, sent: SentTasks) -> None:
    instance = make()
    sent.drain()
    hypervisor().kill(instance.pk)
    converge(instance.pk)  # a kill was asked for: the wish stands, and it runs again
    instance.refresh_from_db()
    assert instance.observed == "running"
    hypervisor().kill(instance.pk)
    (hypervisor().paths(uuid4()).run.parents[1] / "fail_next_start").write_text("no memory")
    converge(instance.pk)
    instance.refresh_from_db()
    assert (instance.desired, instance.is_held, instance.message) == ("running", True, instance.message)
    assert "no memory" in instance.message
