"""images/: read, let build, delete; each with what it refuses."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User

from instances.models import Image, Instance, Upload
from opsweb.core.models import AuditEntry, Host, Operation
from opsweb.teams.models import Team
from tests.conftest import SentTasks, nothing_changes

ApiOf = Callable[..., Any]
ROWS = (Image, Operation, AuditEntry, Upload)


class TestRead:
    def test_an_image_is_shown_whole(self, api: ApiOf, vic: User, image: Image, running: Instance) -> None:
        answer = api(vic).get(f"images/{image.pk}/")
        assert answer.status_code == 200
        shown = answer.json()
        assert (shown["name"], shown["team"], shown["state"], shown["program"], shown["in_use_by"]) == (
            "web",
            "payments",
            "ready",
            "/web",
            1,
        )

    def test_the_list_holds_what_is_wanted_and_visible(self, api: ApiOf, vic: User, image: Image, other_image: Image) -> None:
        Image.objects.create(team=image.team, host=image.host, name="leaving", is_wanted=False)
        answer = api(vic).get("images/").json()
        assert ([item["name"] for item in answer["items"]], answer["count"]) == (["web"], 1)
        assert api(vic).get("images/", name="web", team="payments").json()["count"] == 1
        assert api(vic).get("images/", name="theirs").json()["count"] == 0

    def test_invisible_is_like_absent(self, api: ApiOf, ana: User, other_image: Image) -> None:
        """INV-15."""
        for method in ("GET", "DELETE"):
            with nothing_changes(*ROWS):
                theirs, absent = api(ana)(method, f"images/{other_image.pk}/"), api(ana)(method, f"images/{uuid4()}/")
            assert theirs.status_code == absent.status_code == 404
            assert theirs.json() | {"request_id": ""} == absent.json() | {"request_id": ""}

    def test_reading_changes_nothing(self, api: ApiOf, ana: User, image: Image) -> None:
        """SEC-H1."""
        with nothing_changes(*ROWS):
            api(ana).get("images/")
            api(ana).get(f"images/{image.pk}/")

    def test_a_list_costs_the_same_for_3_and_30(
        self, api: ApiOf, vic: User, team: Team, host: Host, django_assert_num_queries: Any
    ) -> None:
        def fill(first: int, last: int) -> None:
            for number in range(first, last):
                Image.objects.create(team=team, host=host, name=f"web{number}")

        client = api(vic)
        fill(0, 3)
        with django_assert_num_queries(5):  # session, user, roles, rows, count
            client.get("images/")
        fill(3, 30)
        with django_assert_num_queries(5):
            client.get("images/")


class TestCreate:
    def test_it_is_built_of_uploads(self, api: ApiOf, olga: User, host: Host, upload: Upload, sent: SentTasks) -> None:
        body = {"name": "g", "program": str(upload.pk), "program_name": "g", "config": {"Args": ["-v"], "RunConfig": {"Vga": True}}}
        answer = api(olga).post("images/", body)
        assert answer.status_code == 202, answer.content
        made, image = answer.json(), Image.objects.get()
        assert answer["Location"] == f"/api/v1/operations/{made['operation']['id']}/"
        assert (made["image"]["state"], made["image"]["program"]) == ("building", "/g")
        assert [note["field"] for note in made["notes"]] == ["RunConfig.Vga"]
        assert image.defaults == {"args": ["-v"]}
        assert sent == [("instances.build_image", (str(image.pk),))]
        assert AuditEntry.objects.get().verb == "image.create"

    def test_an_archive_names_its_program(self, api: ApiOf, olga: User, host: Host, upload: Upload, sent: SentTasks) -> None:
        api(olga).post("images/", {"name": "g", "files": str(upload.pk), "config": {"Program": "bin/g"}})
        api(olga).post("images/", {"name": "h", "files": str(upload.pk), "program_name": "bin/h"})
        recipes = [image.recipe for image in Image.objects.order_by("name")]
        assert [(recipe["program"], recipe["program_member"]) for recipe in recipes] == [("/bin/g", "bin/g"), ("/bin/h", "bin/h")]

    def test_an_archive_without_a_program_is_refused(self, api: ApiOf, olga: User, host: Host, upload: Upload) -> None:
        with nothing_changes(*ROWS):
            answer = api(olga).post("images/", {"name": "g", "files": str(upload.pk)})
        assert (answer.status_code, answer.json()["code"]) == (422, "no_program")

    def test_a_viewer_may_not(self, api: ApiOf, vic: User, host: Host, upload: Upload) -> None:
        with nothing_changes(*ROWS):
            assert api(vic).post("images/", {"name": "g", "program": str(upload.pk)}).status_code == 403

    def test_an_upload_of_another_team_is_like_none(self, api: ApiOf, root: User, team: Team, other_team: Team, host: Host) -> None:
        """SEC-F1, INV-15."""
        theirs = Upload.objects.create(team=other_team, filename="x", size=4, received=4)
        with nothing_changes(*ROWS):
            answer = api(root).post("images/", {"name": "g", "team": "payments", "program": str(theirs.pk)})
        assert answer.status_code == 404

    def test_an_unfinished_upload_is_refused(self, api: ApiOf, olga: User, host: Host, upload: Upload) -> None:
        Upload.objects.update(received=3)
        with nothing_changes(*ROWS):
            answer = api(olga).post("images/", {"name": "g", "program": str(upload.pk)})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
        assert "3 of 4 bytes" in answer.json()["message"]

    @pytest.mark.parametrize(
        "change", [{"name": "G"}, {"name": ""}, {"program": None}, {"program": "x"}, {"kernel": "/boot/vmlinuz"}, {"config": 7}]
    )
    def test_bad_values_are_refused(self, api: ApiOf, olga: User, host: Host, upload: Upload, change: dict[str, Any]) -> None:
        with nothing_changes(*ROWS):
            assert api(olga).post("images/", {"name": "g", "program": str(upload.pk)} | change).status_code == 422

    @pytest.mark.parametrize(
        ("config", "code", "told"),
        [
            ('{"Args": ["a" "b"]}', "bad_json", "column"),
            ('{"Argz": []}', "unknown_field", "field"),
            ('{"Files": ["../../etc/shadow"]}', "bad_path", "field"),
        ],
    )
    def test_a_bad_config_is_explained(self, api: ApiOf, olga: User, host: Host, upload: Upload, config: str, code: str, told: str) -> None:
        """SEC-C1, SEC-C2."""
        with nothing_changes(*ROWS):
            answer = api(olga).post("images/", {"name": "g", "program": str(upload.pk), "config": config})
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert told in answer.json()["fields"]

    def test_a_name_is_taken_once(self, api: ApiOf, olga: User, image: Image, upload: Upload) -> None:
        with nothing_changes(*ROWS):
            answer = api(olga).post("images/", {"name": "web", "program": str(upload.pk)})
        assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")


class TestDelete:
    def test_it_goes(self, api: ApiOf, olga: User, image: Image, sent: SentTasks) -> None:
        answer = api(olga)("DELETE", f"images/{image.pk}/")
        assert answer.status_code == 202
        assert answer["Location"].endswith(f"{answer.json()['operation']['id']}/")
        assert not Image.objects.get().is_wanted
        assert sent == [("instances.erase_image", (str(image.pk),))]

    def test_not_while_it_is_in_use(self, api: ApiOf, olga: User, running: Instance) -> None:
        with nothing_changes(*ROWS):
            answer = api(olga)("DELETE", f"images/{running.image_id}/")
        assert (answer.status_code, answer.json()["code"]) == (409, "in_use")
        assert "web1" in answer.json()["message"]

    def test_a_viewer_may_not(self, api: ApiOf, vic: User, image: Image) -> None:
        with nothing_changes(*ROWS):
            assert api(vic)("DELETE", f"images/{image.pk}/").status_code == 403

    def test_nothing_new_runs_one_that_goes(self, api: ApiOf, olga: User, image: Image, sent: SentTasks) -> None:
        api(olga)("DELETE", f"images/{image.pk}/")
        assert api(olga).post("instances/", {"image": "web"}).status_code == 404
