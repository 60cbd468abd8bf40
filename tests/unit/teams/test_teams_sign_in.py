"""What a one-time password opens."""

from collections.abc import Callable

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from opsweb.core.access import SYSTEM
from opsweb.teams.services import give_one_time_password

OWN = "a longer one of my own"


def with_one_time_password(user: User) -> tuple[Client, str]:
    """A client that has just signed in with it."""
    first, client = give_one_time_password(user, actor=SYSTEM), Client()
    answer = client.post(reverse("sign-in"), {"username": user.username, "password": first, "next": "/images/"})
    assert answer["Location"] == reverse("password")
    return client, first


def test_a_one_time_password_opens_no_page_but_the_one_that_replaces_it(olga: User) -> None:
    client, first = with_one_time_password(olga)
    for path in map(reverse, ("dashboard", "instances:list", "rail", "admin:index")):
        assert client.get(path)["Location"] == reverse("password"), path
    assert client.post(reverse("instances:create"), {"name": "mine"})["Location"] == reverse("password")
    assert b"Not now" not in client.get(reverse("password")).content
    changed = client.post(reverse("password"), {"old_password": first, "new_password1": OWN, "new_password2": OWN})
    assert changed["Location"] == reverse("dashboard")
    assert client.get(reverse("dashboard")).status_code == 200


def test_one_may_sign_out_instead(olga: User) -> None:
    client, _ = with_one_time_password(olga)
    assert client.post(reverse("sign-out"))["Location"] == reverse("sign-in")


def test_one_s_own_password_may_be_changed_another_time(signed_in: Callable[[User], Client], olga: User) -> None:
    assert b"Not now" in signed_in(olga).get(reverse("password")).content
