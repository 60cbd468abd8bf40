"""instances/: read, make, change, act on, delete; each with what it refuses."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from instances.models import Image, Instance
from instances.states import Desired, Observed
from networks.models import PortForward
from opsweb.core.models import AuditEntry, Operation
from opsweb.teams.models import Team
from tests.conftest import SentTasks, nothing_changes

ApiOf = Callable[..., Any]
ROWS = (Instance, Operation, AuditEntry, PortForward)


def actions(instance: Instance) -> str:
    return f"instances/{instance.pk}/actions/"


class TestGet:
    def test_an_instance_is_shown_whole(self, api: ApiOf, vic: User, running: Instance) -> None:
        answer = api(vic).get(f"instances/{running.pk}/")
        assert answer.status_code == 200
        shown = answer.json()
        assert (shown["name"], shown["team"], shown["state"], shown["label"], shown["tone"]) == (
            "web1",
            "payments",
            "running",
            "Running",
            "run",
        )
        assert shown["image"] == {"id": str(running.image_id), "name": "web", "digest": "ab" * 32}
        assert shown["addresses"] == ["127.0.0.1:18080"]
        assert shown["ports"][0] == {
            "protocol": "tcp",
            "host_address": "127.0.0.1",
            "host_port": 18_080,
            "guest_port": 8080,
            "url": "http://127.0.0.1:18080/",
            "withdrawn": False,
        }
        assert shown["operation"] is None
        assert shown["waited_for"] is None

    def test_verbs_are_those_that_the_caller_may_press_now(self, api: ApiOf, olga: User, vic: User, running: Instance) -> None:
        path = f"instances/{running.pk}/"
        assert api(olga).get(path).json()["verbs"] == ["stop", "force-off", "pause", "reboot", "reset", "delete"]
        assert api(vic).get(path).json()["verbs"] == []

    def test_a_secret_is_shown_to_nobody(self, api: ApiOf, ana: User, root: User, running: Instance) -> None:
        """SEC-J1."""
        for user in (ana, root):
            for path in (f"instances/{running.pk}/", "instances/"):
                answer = api(user).get(path)
                assert b"hunter2" not in answer.content
                assert b"fast" in answer.content
        assert api(ana).get(f"instances/{running.pk}/").json()["env"] == {"MODE": "fast", "PASSWORD": None}

    def test_invisible_is_like_absent(self, api: ApiOf, ana: User, foreign: Instance) -> None:
        """INV-15, for every way to name it."""
        for method, suffix, body in (
            ("GET", "", None),
            ("GET", "console/", None),
            ("PATCH", "", {"vcpus": 2}),
            ("DELETE", "", None),
            ("POST", "actions/", {"verb": "stop"}),
        ):
            with nothing_changes(*ROWS):
                theirs = api(ana)(method, f"instances/{foreign.pk}/{suffix}", body)
                absent = api(ana)(method, f"instances/{uuid4()}/{suffix}", body)
            assert theirs.status_code == absent.status_code == 404, (method, suffix)
            assert theirs.json() | {"request_id": ""} == absent.json() | {"request_id": ""}

    def test_reading_changes_nothing(self, api: ApiOf, ana: User, running: Instance) -> None:
        """SEC-H1."""
        with nothing_changes(*ROWS):
            api(ana).get("instances/")
            api(ana).get(f"instances/{running.pk}/")
            api(ana).get(f"instances/{running.pk}/", wait_for="running", timeout=0)

    def test_the_boot_is_a_waterfall_of_its_own_operation(self, api: ApiOf, olga: User, stopped: Instance, sent: SentTasks) -> None:
        api(olga).post(actions(stopped), {"verb": "start"})
        operation = Operation.objects.get()
        Operation.objects.update(steps=[{"name": "start", "started": operation.created_at.timestamp(), "ms": 30.0}])
        for client in (api(olga),):
            assert [bar["name"] for bar in client.get(f"instances/{stopped.pk}/").json()["boot"]] == ["start"]
            assert [bar["name"] for bar in client.get("instances/").json()["items"][0]["boot"]] == ["start"]


class TestWait:
    @pytest.mark.parametrize(
        ("wait_for", "is_so"),
        [("running", True), ("ready", False), ("port:8080", False), ("port:9090", True), ("ended", False)],
    )
    def test_a_wait_tells_whether_it_came_true(self, api: ApiOf, vic: User, running: Instance, wait_for: str, is_so: bool) -> None:
        Instance.objects.update(milestones={"port:tcp:9090": 1.0})
        shown = api(vic).get(f"instances/{running.pk}/", wait_for=wait_for, timeout=0).json()
        assert shown["waited_for"] is is_so

    def test_it_is_ready_when_every_watched_port_listens(self, api: ApiOf, vic: User, running: Instance) -> None:
        Instance.objects.update(milestones={"port:tcp:8080": 1.0})
        assert api(vic).get(f"instances/{running.pk}/", wait_for="ready", timeout=0).json()["waited_for"] is True

    def test_a_reboot_that_is_due_makes_the_old_boot_count_no_more(self, api: ApiOf, vic: User, running: Instance) -> None:
        Instance.objects.update(milestones={"port:tcp:8080": 1.0}, boots_wanted=2, boots_seen=1)
        assert api(vic).get(f"instances/{running.pk}/", wait_for="port:8080", timeout=0).json()["waited_for"] is False

    @pytest.mark.parametrize(
        ("columns", "has_ended"),
        [
            ({"observed": Observed.STOPPED, "desired": Desired.STOPPED}, True),
            ({"observed": Observed.CRASHED, "desired": Desired.STOPPED}, True),
            ({"observed": Observed.STOPPED, "desired": Desired.RUNNING}, False),  # the restart policy will start it again
            ({"observed": Observed.UNKNOWN, "desired": Desired.STOPPED}, False),
        ],
    )
    def test_ended_means_that_nothing_will_start_it_again(
        self, api: ApiOf, vic: User, running: Instance, columns: dict[str, str], has_ended: bool
    ) -> None:
        Instance.objects.update(**columns)
        assert api(vic).get(f"instances/{running.pk}/", wait_for="ended", timeout=0).json()["waited_for"] is has_ended

    def test_ended_waits_for_the_operation_too(self, api: ApiOf, olga: User, stopped: Instance, sent: SentTasks) -> None:
        api(olga).post(actions(stopped), {"verb": "start"})
        assert api(olga).get(f"instances/{stopped.pk}/", wait_for="ended", timeout=0).json()["waited_for"] is False

    @pytest.mark.parametrize("query", [{"wait_for": "port:0"}, {"wait_for": "moon"}, {"wait_for": "running", "timeout": 3600}])
    def test_nonsense_is_refused(self, api: ApiOf, vic: User, running: Instance, query: dict[str, Any]) -> None:
        assert api(vic).get(f"instances/{running.pk}/", **query).status_code == 422


class TestList:
    def test_filters_and_pages(self, api: ApiOf, vic: User, running: Instance, stopped: Instance, foreign: Instance) -> None:
        def names(**query: Any) -> list[str]:
            return [item["name"] for item in api(vic).get("instances/", **query).json()["items"]]

        assert names() == ["idle", "web1"]
        assert names(name="web1") == ["web1"]
        assert names(state="stopped") == ["idle"]
        assert names(team="elsewhere") == []
        assert names(limit=1, offset=1) == ["web1"]
        assert api(vic).get("instances/", limit=1).json()["count"] == 2

    @pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 501}, {"offset": -1}, {"state": "asleep"}])
    def test_a_bad_page_is_refused(self, api: ApiOf, vic: User, query: dict[str, Any]) -> None:
        assert api(vic).get("instances/", **query).status_code == 422

    def test_it_costs_the_same_for_3_and_30(
        self, api: ApiOf, vic: User, make_instance: Callable[..., Instance], django_assert_num_queries: Any
    ) -> None:
        def fill(first: int, last: int) -> None:
            for number in range(first, last):
                make_instance(f"web{number}", ports=((20_000 + number, 80),), observed=Observed.RUNNING, accepted_at=timezone.now())

        client = api(vic)
        fill(0, 3)
        with django_assert_num_queries(9):  # session, user, roles, rows, NICs, forwards, active, starts, count
            assert client.get("instances/", limit=100).json()["count"] == 3
        fill(3, 30)
        with django_assert_num_queries(9):
            assert client.get("instances/", limit=100).json()["count"] == 30


class TestCreate:
    def test_it_is_written_down_and_started(self, api: ApiOf, olga: User, image: Image, sent: SentTasks) -> None:
        answer = api(olga).post("instances/", {"name": "web1", "image": "web", "ports": ["18081:8080"], "env": {"A": "1"}, "args": ["-v"]})
        assert answer.status_code == 202, answer.content
        made = answer.json()
        instance = Instance.objects.get()
        assert answer["Location"] == f"/api/v1/operations/{made['operation']['id']}/"
        assert made["instance"]["id"] == str(instance.pk)
        assert (instance.team_id, instance.desired, instance.args, instance.env) == (image.team_id, "running", ["-v"], {"A": "1"})
        assert sent == [("instances.converge", (str(instance.pk),))]
        assert AuditEntry.objects.get().verb == "instance.create"

    def test_without_start_there_is_no_operation(self, api: ApiOf, olga: User, image: Image, sent: SentTasks) -> None:
        answer = api(olga).post("instances/", {"name": "web1", "image": str(image.pk), "start": False})
        assert answer.status_code == 202
        assert answer.json()["operation"] is None
        assert "Location" not in answer
        assert Instance.objects.get().desired == Desired.STOPPED

    def test_a_name_is_found_when_none_is_given(self, api: ApiOf, olga: User, image: Image, sent: SentTasks) -> None:
        names = [api(olga).post("instances/", {"image": "web"}).json()["instance"]["name"] for _ in range(3)]
        assert names == ["web", "web-2", "web-3"]

    def test_a_config_speaks_where_the_body_is_silent(self, api: ApiOf, olga: User, image: Image, sent: SentTasks) -> None:
        config = {"Args": ["-c"], "Env": {"A": "config", "B": "config"}, "RunConfig": {"Memory": "512m", "InstanceName": "named"}}
        made = api(olga).post("instances/", {"image": "web", "args": ["-b"], "env": {"A": "body"}, "config": config}).json()["instance"]
        assert (made["name"], made["memory_mib"], made["args"], made["env"]) == ("named", 512, ["-b"], {"A": "body", "B": "config"})

    def test_what_a_config_can_not_have_is_answered_with_a_note(self, api: ApiOf, olga: User, image: Image, sent: SentTasks) -> None:
        made = api(olga).post("instances/", {"image": "web", "config": '{"RunConfig": {"TapName": "tap7"}}'}).json()
        assert [note["field"] for note in made["notes"]] == ["RunConfig.TapName"]

    def test_a_viewer_may_not(self, api: ApiOf, vic: User, image: Image) -> None:
        with nothing_changes(*ROWS):
            answer = api(vic).post("instances/", {"name": "web1", "image": "web"})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert "operator" in answer.json()["message"]

    def test_an_image_of_another_team_is_like_none(self, api: ApiOf, ana: User, other_team: Team, other_image: Image) -> None:
        """SEC-F1, INV-15: also for somebody who may see both."""
        body = {"name": "web1", "image": str(other_image.pk)}
        with nothing_changes(*ROWS):
            theirs, absent = api(ana).post("instances/", body), api(ana).post("instances/", body | {"image": str(uuid4())})
        assert theirs.status_code == absent.status_code == 404
        assert theirs.json() | {"request_id": ""} == absent.json() | {"request_id": ""}

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"name": "Web 1"}, "name"),
            ({"name": "-x"}, "name"),
            ({"vcpus": 0}, "vcpus"),
            ({"memory_mib": 64}, "memory_mib"),
            ({"memory_mib": "much"}, "memory_mib"),
            ({"args": "one"}, "args"),
            ({"args": [1]}, "args.0"),
            ({"args": ["a\0b"]}, "args.0"),
            ({"env": {"A=B": "x"}}, "env"),
            ({"env": {"A": None}}, "env"),
            ({"ports": ["99999"]}, "ports"),
            ({"ports": ["http"]}, "ports"),
            ({"hosts": {"bob": "10.0.2"}}, "hosts"),
            ({"hosts": {"b ob": "10.0.2.2"}}, "hosts"),
            ({"nameservers": ["one.one.one.one"]}, "nameservers"),
            ({"restart_policy": "sometimes"}, "restart_policy"),
            ({"colour": "blue"}, "colour"),
            ({"team": 7}, "team"),
        ],
    )
    def test_bad_values_name_their_field(self, api: ApiOf, olga: User, image: Image, change: dict[str, Any], field: str) -> None:
        with nothing_changes(*ROWS):
            answer = api(olga).post("instances/", {"name": "web1", "image": "web"} | change)
        assert answer.status_code == 422, answer.content
        assert field in answer.json()["fields"]
        assert answer.json()["request_id"]

    def test_a_bad_config_names_line_and_column(self, api: ApiOf, olga: User, image: Image) -> None:
        answer = api(olga).post("instances/", {"image": "web", "config": '{\n  "Args": [1,\n}'})
        assert answer.status_code == 422
        assert answer.json()["fields"]["line"] == [2]

    def test_a_name_is_taken_once(self, api: ApiOf, olga: User, running: Instance) -> None:
        with nothing_changes(*ROWS):
            answer = api(olga).post("instances/", {"name": "web1", "image": "web"})
        assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")

    def test_a_port_is_taken_once(self, api: ApiOf, olga: User, running: Instance) -> None:
        with nothing_changes(*ROWS):
            answer = api(olga).post("instances/", {"name": "web2", "image": "web", "ports": ["18080:80"]})
        assert (answer.status_code, answer.json()["code"], answer.json()["fields"]) == (409, "port_busy", {"ports": [18_080]})
        assert "web1" in answer.json()["message"]

    def test_the_taker_of_a_port_is_not_named_to_strangers(self, api: ApiOf, olga: User, image: Image, foreign: Instance) -> None:
        """INV-15."""
        nic = foreign.nics.get()
        PortForward.objects.create(nic=nic, host=foreign.host, team=foreign.team, host_port=18_099, guest_port=80, bound_port=18_099)
        answer = api(olga).post("instances/", {"name": "web2", "image": "web", "ports": ["18099:80"]})
        assert answer.status_code == 409
        assert "theirs" not in answer.content.decode()
        assert "elsewhere" not in answer.content.decode()

    def test_only_a_superuser_opens_a_port_to_the_network(self, api: ApiOf, ana: User, root: User, image: Image, sent: SentTasks) -> None:
        body = {"name": "web1", "image": "web", "team": "payments", "ports": ["0.0.0.0:18081:8080"]}
        with nothing_changes(*ROWS):
            assert api(ana).post("instances/", body).json()["code"] == "address_not_published"
        assert api(root).post("instances/", body).status_code == 202

    def test_the_quota_holds(self, api: ApiOf, olga: User, team: Team, running: Instance) -> None:
        """INV-13."""
        Team.objects.filter(pk=team.pk).update(quota_instances=1)
        with nothing_changes(*ROWS):
            answer = api(olga).post("instances/", {"name": "web2", "image": "web"})
        assert (answer.status_code, answer.json()["code"]) == (409, "quota")
        assert "2 of 1" in answer.json()["message"]

    def test_the_host_has_an_end_too(self, api: ApiOf, olga: User, team: Team, image: Image) -> None:
        Team.objects.filter(pk=team.pk).update(quota_vcpus=100, quota_memory_mib=100_000)
        for change, field in (({"vcpus": 9}, "vcpus"), ({"memory_mib": 16_385}, "memory_mib")):
            answer = api(olga).post("instances/", {"name": "web2", "image": "web"} | change)
            assert (answer.status_code, answer.json()["code"], list(answer.json()["fields"])) == (409, "no_room", [field])


class TestPatch:
    def test_the_next_start_gets_it(self, api: ApiOf, olga: User, running: Instance, sent: SentTasks) -> None:
        Instance.objects.update(applied=running.boot_values())
        answer = api(olga)("PATCH", f"instances/{running.pk}/", {"memory_mib": 512, "args": ["-x"]})
        assert answer.status_code == 200, answer.content
        assert answer.json()["restart_to_apply"] == ["memory_mib", "args"]
        assert AuditEntry.objects.get().details == {"fields": ["args", "memory_mib"]}

    def test_ports_change_at_once(self, api: ApiOf, olga: User, running: Instance, sent: SentTasks) -> None:
        answer = api(olga)("PATCH", f"instances/{running.pk}/", {"ports": ["18090:90"]})
        assert answer.json()["addresses"] == ["127.0.0.1:18090"]
        assert ("instances.apply_forwards", (str(running.pk),)) in sent

    def test_one_list_of_ports_leaves_the_other(self, api: ApiOf, olga: User, running: Instance, sent: SentTasks) -> None:
        api(olga)("PATCH", f"instances/{running.pk}/", {"udp_ports": ["15353:53"]})
        shown = api(olga)("PATCH", f"instances/{running.pk}/", {"ports": []}).json()
        assert [(port["protocol"], port["host_port"]) for port in shown["ports"]] == [("udp", 15_353)]

    def test_a_rename_keeps_the_id(self, api: ApiOf, olga: User, running: Instance, sent: SentTasks) -> None:
        assert api(olga)("PATCH", f"instances/{running.pk}/", {"name": "web9"}).json()["name"] == "web9"
        assert Instance.objects.get(pk=running.pk).name == "web9"

    def test_a_secret_stays_when_it_is_sent_back_as_null(self, api: ApiOf, olga: User, running: Instance, sent: SentTasks) -> None:
        api(olga)("PATCH", f"instances/{running.pk}/", {"env": {"PASSWORD": None, "MODE": "slow"}})
        assert Instance.objects.get().env == {"PASSWORD": "hunter2hunter2", "MODE": "slow"}

    @pytest.mark.parametrize("change", [{"secret_env": []}, {"secret_env": [], "env": {"PASSWORD": None}}, {"env": {"MODE": None}}])
    def test_a_secret_is_not_uncovered(self, api: ApiOf, olga: User, running: Instance, change: dict[str, Any]) -> None:
        """SEC-J1: who takes the mark away must bring the value."""
        with nothing_changes(*ROWS):
            answer = api(olga)("PATCH", f"instances/{running.pk}/", change)
        assert answer.status_code == 422
        assert b"hunter2" not in answer.content

    def test_a_viewer_may_not(self, api: ApiOf, vic: User, running: Instance) -> None:
        with nothing_changes(*ROWS):
            assert api(vic)("PATCH", f"instances/{running.pk}/", {"vcpus": 2}).status_code == 403

    @pytest.mark.parametrize("change", [{"image": "other"}, {"start": True}, {"desired": "running"}, {"team": "elsewhere"}, {"name": "A"}])
    def test_what_can_not_be_changed_is_refused(self, api: ApiOf, olga: User, running: Instance, change: dict[str, Any]) -> None:
        with nothing_changes(*ROWS):
            assert api(olga)("PATCH", f"instances/{running.pk}/", change).status_code == 422

    def test_what_is_being_deleted_changes_no_more(self, api: ApiOf, olga: User, running: Instance) -> None:
        Instance.objects.update(desired=Desired.ABSENT)
        with nothing_changes(*ROWS):
            answer = api(olga)("PATCH", f"instances/{running.pk}/", {"vcpus": 2})
        assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")

    def test_a_team_over_its_quota_may_shrink_but_not_grow(
        self, api: ApiOf, olga: User, team: Team, running: Instance, sent: SentTasks
    ) -> None:
        """INV-13."""
        Instance.objects.update(memory_mib=1024)
        Team.objects.filter(pk=team.pk).update(quota_memory_mib=512)
        patch = lambda memory: api(olga)("PATCH", f"instances/{running.pk}/", {"memory_mib": memory})  # noqa: E731
        assert patch(768).status_code == 200
        assert patch(800).json()["code"] == "quota"


class TestActions:
    @pytest.mark.parametrize("verb", ["stop", "force-off", "pause", "reboot", "reset"])
    def test_a_verb_is_an_operation(self, api: ApiOf, olga: User, running: Instance, sent: SentTasks, verb: str) -> None:
        answer = api(olga).post(actions(running), {"verb": verb})
        assert answer.status_code == 202
        operation = Operation.objects.get()
        assert answer["Location"] == f"/api/v1/operations/{operation.pk}/"
        assert answer.json()["operation"]["id"] == str(operation.pk)
        assert (operation.verb, operation.status, operation.requested_by) == (verb, "queued", "olga")
        assert AuditEntry.objects.get().verb == f"instance.{verb}"
        assert sent == [("instances.converge", (str(running.pk),))]

    def test_what_makes_no_sense_now_is_refused(self, api: ApiOf, olga: User, running: Instance, stopped: Instance) -> None:
        for instance, verb in ((running, "start"), (running, "resume"), (stopped, "stop"), (stopped, "pause")):
            with nothing_changes(*ROWS):
                answer = api(olga).post(actions(instance), {"verb": verb})
            assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")

    def test_the_second_of_two_is_told_who_is_at_it(self, api: ApiOf, ana: User, olga: User, stopped: Instance, sent: SentTasks) -> None:
        """INV-06."""
        api(ana).post(actions(stopped), {"verb": "start"})
        with nothing_changes(*ROWS):
            answer = api(olga).post(actions(stopped), {"verb": "start"})
        assert (answer.status_code, answer.json()["code"]) == (409, "busy")
        assert "start by ana, 0 s ago" in answer.json()["message"]

    def test_a_viewer_may_not(self, api: ApiOf, vic: User, running: Instance) -> None:
        with nothing_changes(*ROWS):
            assert api(vic).post(actions(running), {"verb": "stop"}).status_code == 403

    @pytest.mark.parametrize("body", [{}, {"verb": "explode"}, {"verb": "stop", "now": True}, [], "stop"])
    def test_no_verb_of_ours_is_refused(self, api: ApiOf, olga: User, running: Instance, body: Any) -> None:
        with nothing_changes(*ROWS):
            assert api(olga).post(actions(running), body).status_code == 422


class TestDelete:
    def test_it_goes(self, api: ApiOf, olga: User, running: Instance, sent: SentTasks) -> None:
        answer = api(olga)("DELETE", f"instances/{running.pk}/")
        assert answer.status_code == 202
        assert answer.json()["operation"]["verb"] == "delete"
        assert Instance.objects.get().desired == Desired.ABSENT

    def test_it_pushes_a_start_aside(self, api: ApiOf, olga: User, stopped: Instance, sent: SentTasks) -> None:
        """INV-06."""
        api(olga).post(actions(stopped), {"verb": "start"})
        assert api(olga)("DELETE", f"instances/{stopped.pk}/").status_code == 202
        assert list(Operation.objects.order_by("created_at").values_list("verb", "status")) == [
            ("start", "superseded"),
            ("delete", "queued"),
        ]

    def test_a_viewer_may_not(self, api: ApiOf, vic: User, running: Instance) -> None:
        with nothing_changes(*ROWS):
            assert api(vic)("DELETE", f"instances/{running.pk}/").status_code == 403
