"""create, edit and the verbs as services: what the doors do not show (INV-13, INV-14, INV-18, SEC-F1, SEC-J1)."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from instances.models import Image, Instance
from instances.services import create, power
from instances.services.create import InstanceSpec
from instances.services.naming import free_name
from instances.states import Desired, Observed, Verb
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, Forbidden, Invalid, NotFound
from opsweb.core.models import AuditEntry, Operation
from opsweb.teams.models import Membership, Team
from tests.conftest import SentTasks, nothing_changes

SECRET = "hunter2hunter2"


@pytest.fixture
def olgas(olga: User, as_actor: Callable[[User], Actor]) -> Actor:
    return as_actor(olga)


class TestSpec:
    def test_it_comes_over_the_images_config(self) -> None:
        spec = InstanceSpec(args=["-v"], env={"A": "mine"}, vcpus=None)
        assert spec.over({"args": ["-c"], "env": {"A": "theirs", "B": "theirs"}, "vcpus": 4}) == {
            "args": ["-v"],
            "env": {"A": "mine", "B": "theirs"},
            "vcpus": 4,
        }

    def test_silence_is_not_emptiness(self) -> None:
        assert InstanceSpec(args=[]).over({"args": ["-c"]}) == {"args": []}
        assert InstanceSpec(autostart=False).over({"autostart": True}) == {"autostart": False}


class TestCreate:
    def test_an_image_stays_in_its_team(self, olga: User, other_team: Team, other_image: Image, team: Team, as_actor: Any) -> None:
        """SEC-F1: seeing an image in one team is no right to run it in another."""
        Membership.objects.create(user=olga, team=other_team, role="admin")
        with nothing_changes(Instance, Operation), pytest.raises(NotFound):
            create.create(team, "web1", other_image, InstanceSpec(), actor=as_actor(olga))

    def test_uids_are_used_again_but_never_twice(self, image: Image, olgas: Actor, sent: SentTasks) -> None:
        first, second, third = (create.create(image.team, f"web{n}", image, InstanceSpec(), actor=olgas)[0] for n in range(3))
        assert [one.uid_offset for one in (first, second, third)] == [1, 2, 3]
        Instance.objects.filter(pk=second.pk).delete()
        assert create.create(image.team, "web9", image, InstanceSpec(), actor=olgas)[0].uid_offset == 2

    def test_a_stopped_instance_counts(self, image: Image, olgas: Actor, sent: SentTasks) -> None:
        """INV-13."""
        Team.objects.update(quota_instances=1)
        create.create(image.team, "web1", image, InstanceSpec(), actor=olgas, start=False)
        with pytest.raises(Conflict):
            create.create(image.team, "web2", image, InstanceSpec(), actor=olgas, start=False)

    def test_what_is_wanted_off_takes_no_room_of_the_host(self, image: Image, olgas: Actor, sent: SentTasks) -> None:
        Team.objects.update(quota_memory_mib=100_000)
        spec = InstanceSpec(memory_mib=12_000)
        first, _ = create.create(image.team, "web1", image, spec, actor=olgas)
        with pytest.raises(Conflict, match="do not fit") as refusal:
            create.create(image.team, "web2", image, spec, actor=olgas)
        assert refusal.value.fields == {"memory_mib": [4384]}
        Instance.objects.update(desired=Desired.STOPPED, observed=Observed.STOPPED)
        create.create(image.team, "web2", image, spec, actor=olgas)
        Operation.objects.update(status="succeeded")
        with nothing_changes(Instance, Operation, AuditEntry), pytest.raises(Conflict, match="do not fit"):
            power.request(Verb.START, Instance.objects.get(pk=first.pk), actor=olgas)


class TestEdit:
    def test_what_the_worker_writes_meanwhile_stays(self, running: Instance, olgas: Actor, sent: SentTasks) -> None:
        stale = Instance.objects.get(pk=running.pk)
        Instance.objects.update(observed=Observed.CRASHED, message="Something new.")
        create.edit(stale, InstanceSpec(args=["-v"]), actor=olgas)
        row = Instance.objects.get()
        assert (row.observed, row.message, row.args) == (Observed.CRASHED, "Something new.", ["-v"])

    def test_only_a_new_port_goes_to_the_running_vm(self, running: Instance, olgas: Actor, sent: SentTasks) -> None:
        create.edit(running, InstanceSpec(args=["-v"]), actor=olgas)
        assert [task for task, _ in sent] == ["instances.converge"]
        create.edit(running, InstanceSpec(ports=["18090"]), actor=olgas)
        assert "instances.apply_forwards" in [task for task, _ in sent]

    def test_what_is_gone_is_not_found(self, running: Instance, olgas: Actor) -> None:
        stale = Instance.objects.get(pk=running.pk)
        running.delete()
        with pytest.raises(NotFound):
            create.edit(stale, InstanceSpec(vcpus=2), actor=olgas)


class TestPower:
    def test_the_wish_is_all_that_it_writes(self, running: Instance, olgas: Actor, sent: SentTasks) -> None:
        stale = Instance.objects.get(pk=running.pk)
        Instance.objects.update(milestones={"program": 1.0})
        power.request(Verb.STOP, stale, actor=olgas)
        row = Instance.objects.get()
        assert (row.desired, row.milestones, row.force) == (Desired.STOPPED, {"program": 1.0}, False)

    def test_only_a_boot_begins_the_clock_of_a_start(self, running: Instance, olgas: Actor, sent: SentTasks) -> None:
        for verb, begins in ((Verb.PAUSE, False), (Verb.REBOOT, True)):
            Operation.objects.all().delete()
            Instance.objects.update(accepted_at=None)
            power.request(verb, Instance.objects.get(), actor=olgas)
            assert (Instance.objects.get().accepted_at is not None) is begins

    def test_a_row_that_is_about_to_start_again_can_be_stopped(self, stopped: Instance, olgas: Actor, sent: SentTasks) -> None:
        """Between two tries of the restart policy."""
        Instance.objects.update(desired=Desired.RUNNING)
        power.request(Verb.STOP, Instance.objects.get(), actor=olgas)
        assert Instance.objects.get().desired == Desired.STOPPED

    @pytest.mark.parametrize("verb", Verb)
    def test_every_verb_asks_for_the_role(self, running: Instance, vic: User, nobody: User, as_actor: Any, verb: Verb) -> None:
        """INV-14."""
        with nothing_changes(Instance, Operation, AuditEntry):
            with pytest.raises(Forbidden):
                power.request(verb, running, actor=as_actor(vic))
            with pytest.raises(NotFound):
                power.request(verb, running, actor=as_actor(nobody))


class TestSecrets:
    def test_a_secret_is_in_no_answer_no_entry_no_log_and_no_task(
        self, image: Image, olgas: Actor, sent: SentTasks, caplog: pytest.LogCaptureFixture
    ) -> None:
        """SEC-J1, INV-18."""
        spec = InstanceSpec(env={"PASSWORD": SECRET}, secret_env=["PASSWORD"])
        with caplog.at_level(logging.DEBUG):
            instance, _ = create.create(image.team, "web1", image, spec, actor=olgas)
            create.edit(instance, InstanceSpec(env={"PASSWORD": SECRET + "!", "A": "b"}), actor=olgas)
            with pytest.raises(Invalid) as refusal:
                create.edit(instance, InstanceSpec(env={"PASSWORD": SECRET, "=": SECRET}), actor=olgas)
        kept = [*AuditEntry.objects.values(), *Operation.objects.values(), *sent]
        assert SECRET not in json.dumps(kept, default=str)
        assert SECRET not in caplog.text
        assert SECRET not in f"{refusal.value.message} {refusal.value.fields}"
        assert SECRET not in json.dumps(instance.boot_values())
        assert SECRET not in repr(instance)

    def test_a_kept_secret_keeps_its_value(self, running: Instance, olgas: Actor, sent: SentTasks) -> None:
        create.edit(running, InstanceSpec(env={"PASSWORD": None, "NEW": "1"}), actor=olgas)
        assert Instance.objects.get().env == {"PASSWORD": SECRET, "NEW": "1"}

    def test_a_public_value_may_become_a_secret(self, running: Instance, olgas: Actor, sent: SentTasks) -> None:
        create.edit(running, InstanceSpec(secret_env=["PASSWORD", "MODE"]), actor=olgas)
        assert Instance.objects.get().env == {"MODE": "fast", "PASSWORD": SECRET}

    @pytest.mark.parametrize(
        "spec",
        [InstanceSpec(secret_env=[]), InstanceSpec(env={"PASSWORD": None}, secret_env=[]), InstanceSpec(env={"MODE": None})],
    )
    def test_none_comes_out_by_taking_the_mark_away(self, running: Instance, olgas: Actor, spec: InstanceSpec) -> None:
        """SEC-J1."""
        with nothing_changes(Instance, AuditEntry), pytest.raises(Invalid):
            create.edit(running, spec, actor=olgas)

    def test_with_a_new_value_the_mark_may_go(self, running: Instance, olgas: Actor, sent: SentTasks) -> None:
        create.edit(running, InstanceSpec(env={"PASSWORD": "public now"}, secret_env=[]), actor=olgas)
        assert Instance.objects.get().env == {"PASSWORD": "public now"}


@pytest.mark.parametrize(
    ("taken", "wanted", "found"),
    [([], "web", "web"), (["web"], "web", "web-2"), (["web", "web-2", "web-3"], "web", "web-4"), (["a" * 40], "a" * 40, "a" * 36 + "-2")],
)
def test_a_free_name_is_numbered(make_instance: Any, team: Team, taken: list[str], wanted: str, found: str) -> None:
    for name in taken:
        make_instance(name)
    assert free_name(Instance, team, wanted) == found
