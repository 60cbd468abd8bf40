"""Who sees which page, and what a page may not do: the same walls as the API's (INV-14, INV-15), and no change by looking (SEC-H1)."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from instances.models import Image, Instance, Upload
from instances.states import Observed
from networks.models import PortForward
from opsweb.core.models import AuditEntry, Operation
from tests.conftest import SentTasks, nothing_changes
from tests.unit.conftest import MakeInstance

SignedIn = Callable[[User], Client]
ROWS = (Instance, Image, Operation, AuditEntry, PortForward)
LISTS = ("dashboard", "rail", "activity", "instances:list", "instances:create", "images:list", "operations:drawer", "password")
TABS = ("overview", "console", "activity", "config")


def pages(instance: Instance) -> list[str]:
    """Every page that a GET reaches."""
    of_instance = reverse("instances:detail", args=[instance.pk])
    return [*map(reverse, LISTS), *(f"{of_instance}?tab={tab}" for tab in TABS), reverse("images:detail", args=[instance.image_id])]


def posts(instance: Instance) -> list[str]:
    """Everything that takes a POST and nothing else."""
    return [
        reverse("instances:verb", args=[instance.pk, "stop"]),
        reverse("instances:edit", args=[instance.pk]),
        reverse("images:delete", args=[instance.image_id]),
        reverse("team"),
        reverse("sign-out"),
    ]


def test_looking_changes_nothing(signed_in: SignedIn, ana: User, make_instance: MakeInstance) -> None:
    """SEC-H1: every page, as an admin of the team."""
    instance = make_instance(observed=Observed.RUNNING)
    client = signed_in(ana)
    with nothing_changes(*ROWS):
        for path in pages(instance):
            assert client.get(path).status_code == 200, path


def test_what_changes_things_refuses_a_get(signed_in: SignedIn, ana: User, make_instance: MakeInstance) -> None:
    """SEC-H1."""
    instance = make_instance(observed=Observed.RUNNING)
    client = signed_in(ana)
    with nothing_changes(*ROWS):
        assert [client.get(path).status_code for path in posts(instance)] == [405] * len(posts(instance))


def test_every_page_is_private(make_instance: MakeInstance) -> None:
    instance = make_instance()
    for path in pages(instance):
        answer = Client().get(path)
        assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/sign-in/"), path


def test_a_stranger_gets_the_same_as_for_what_is_not_there(signed_in: SignedIn, nobody: User, make_instance: MakeInstance) -> None:
    """INV-15: instance and image, GET and POST, by status and by words."""
    instance = make_instance(observed=Observed.RUNNING)
    client = signed_in(nobody)
    absent = "00000000-0000-0000-0000-000000000000"
    for name, args in (
        ("instances:detail", []),
        ("images:detail", []),
        ("instances:verb", ["stop"]),
        ("instances:edit", []),
        ("images:delete", []),
    ):
        theirs = instance.image_id if name.startswith("images") else instance.pk
        send = client.get if name.endswith("detail") else client.post
        with nothing_changes(*ROWS):
            there, not_there = (send(reverse(name, args=[pk, *args])) for pk in (theirs, absent))
        assert (there.status_code, not_there.status_code) == (404, 404), name
        assert _without_id(there.content) == _without_id(not_there.content), name


def _without_id(content: bytes) -> bytes:
    head, _, rest = content.partition(b"Request <code>")
    return head + rest.partition(b"</code>")[2]


def test_nobody_sees_the_team_in_a_list(signed_in: SignedIn, nobody: User, make_instance: MakeInstance) -> None:
    make_instance("hidden-one")
    client = signed_in(nobody)
    for path in map(reverse, LISTS):
        assert b"hidden-one" not in client.get(path).content, path
    assert client.get("/instances/?team=payments").status_code == 404


@pytest.mark.parametrize("name", ["stop", "delete", "start"])
def test_a_viewer_may_press_nothing(signed_in: SignedIn, vic: User, make_instance: MakeInstance, name: str) -> None:
    instance = make_instance(observed=Observed.RUNNING)
    with nothing_changes(*ROWS):
        answer = signed_in(vic).post(reverse("instances:verb", args=[instance.pk, name]), headers={"HX-Request": "true"})
    assert answer.status_code == 403
    assert "operator" in answer["HX-Trigger"]


def test_an_operator_may(signed_in: SignedIn, olga: User, make_instance: MakeInstance, sent: SentTasks) -> None:
    instance = make_instance(observed=Observed.RUNNING)
    answer = signed_in(olga).post(reverse("instances:verb", args=[instance.pk, "stop"]), headers={"HX-Request": "true"})
    assert answer.status_code == 204
    assert sent == [("instances.converge", (str(instance.pk),))]
    assert AuditEntry.objects.get(verb="instance.stop").actor_name == "olga"


def test_a_viewer_can_neither_create_nor_edit_nor_delete_an_image(signed_in: SignedIn, vic: User, make_instance: MakeInstance) -> None:
    instance = make_instance()
    client = signed_in(vic)
    form = {"name": "other", "size": "1x256"}
    with nothing_changes(*ROWS):
        created = client.post(reverse("instances:create"), {**form, "image": instance.image_id})
        edited = client.post(reverse("instances:edit", args=[instance.pk]), form)
        client.post(reverse("images:delete", args=[instance.image_id]))
    assert [created.status_code, edited.status_code] == [422, 422]
    assert "operator" in created.content.decode()


def test_an_image_or_an_upload_of_another_team_is_not_there(signed_in: SignedIn, olga: User, other_image: Image) -> None:
    """INV-14: what a form names is looked up with the same eyes."""
    with nothing_changes(*ROWS):
        answer = signed_in(olga).post(reverse("instances:create"), {"name": "mine", "size": "1x256", "image": other_image.pk})
    assert answer.status_code == 422
    assert b"theirs" not in answer.content


def test_a_refused_instance_leaves_no_image_that_ate_its_upload(
    signed_in: SignedIn, olga: User, make_instance: MakeInstance, upload: Upload
) -> None:
    """The form comes back with the upload's name in it; corrected, it finds the upload."""
    make_instance("first", ports=((18_080, 80),))
    form = {"name": "second", "size": "1x256", "program": upload.pk, "program_name": "web", "port_host": "18080", "port_guest": "80"}
    client = signed_in(olga)
    with nothing_changes(*ROWS, Upload):
        answer = client.post(reverse("instances:create"), {**form, "port_protocol": "tcp"})
    assert answer.status_code == 422
    assert "is used by instance first" in answer.content.decode()
    assert client.post(reverse("instances:create"), {**form, "port_protocol": "tcp", "port_host": "18081"}).status_code == 302


def test_a_form_without_its_token_is_refused(olga: User, make_instance: MakeInstance) -> None:
    instance = make_instance(observed=Observed.RUNNING)
    client = Client(enforce_csrf_checks=True)
    client.force_login(olga)
    with nothing_changes(*ROWS):
        answer = client.post(reverse("instances:verb", args=[instance.pk, "stop"]))
    assert answer.status_code == 403
    assert b"too old" in answer.content
