"""Guessing of passwords over a real redis: many at once are no way round the throttle, nor is another door or header (SEC-H3)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory

from opsweb.environment import env
from opsweb.teams import throttle
from opsweb.teams.actors import actor_for
from opsweb.teams.invitations import invite
from opsweb.teams.models import Team
from tests.redis_server import running_redis

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _use_redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with running_redis() as server:
        monkeypatch.setattr(env, "redis_url", server.url)
        yield


def guess(name: str = "olga", address: str = "198.51.100.7", password: str = "wrong", **headers: str) -> int:
    form = {"username": name, "password": password}
    return int(Client(REMOTE_ADDR=address).post("/sign-in/", form, headers=headers).status_code)


def test_many_at_once_are_many() -> None:
    """A thousand connections at once get as many guesses as one after the other."""
    request = RequestFactory().post("/sign-in/", {"username": "olga"})
    with ThreadPoolExecutor(32) as pool:
        waits = list(pool.map(lambda _: throttle.take_a_try(request), range(200)))
    assert 0 < waits.count(0) <= throttle.FREE_TRIES


@pytest.mark.django_db
@pytest.mark.parametrize("changed", ["name", "address"])
def test_neither_another_name_nor_another_address_is_free(olga: User, changed: str) -> None:
    tries = [{"name": f"user{n}"} if changed == "name" else {"address": f"198.51.100.{n}"} for n in range(8)]
    answers = [guess(**values) for values in tries]
    assert answers[: throttle.FREE_TRIES] == [200] * throttle.FREE_TRIES
    assert answers[-1] == 429


@pytest.mark.django_db
def test_who_waits_uses_up_nobody_elses_tries(olga: User, ana: User) -> None:
    """An address that is held back can't hold back a name."""
    for _ in range(30):
        guess("ana")
    assert guess("olga", address="198.51.100.7") == 429
    assert guess("olga", address="198.51.100.8", password=PASSWORD) == 302


@pytest.mark.django_db
@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "Client-IP"])
def test_no_header_makes_another_address(olga: User, header: str) -> None:
    assert [guess(f"user{n}", **{header: f"203.0.113.{n}"}) for n in range(8)][-1] == 429


@pytest.mark.django_db
def test_the_right_password_waits_too_and_then_forgives(olga: User) -> None:
    for _ in range(8):
        guess()
    assert guess(password=PASSWORD) == 429
    assert guess(password=PASSWORD, address="198.51.100.8") == 429


@pytest.mark.django_db
def test_people_behind_one_address_are_no_guesses(olga: User) -> None:
    assert [guess(password=PASSWORD) for _ in range(3 * throttle.FREE_TRIES)] == [302] * 3 * throttle.FREE_TRIES


@pytest.mark.django_db
def test_the_admins_own_sign_in_is_no_way_round(root: User) -> None:
    answer = Client().post("/admin/login/", {"username": "root", "password": PASSWORD})
    assert (answer.status_code, answer["Location"].startswith("/sign-in/")) == (302, True)
    assert "opsweb_session" not in answer.cookies


@pytest.mark.django_db
def test_links_into_teams_are_guessed_no_faster_and_shut_nobody_elses_door(olga: User) -> None:
    """A page that is looked at names nobody: it uses up no try of the people of other addresses."""

    def open_link(address: str) -> int:
        return int(Client(REMOTE_ADDR=address).get("/join/?invitation=guess").status_code)

    answers = [open_link("198.51.100.7") for _ in range(8)]
    assert answers[: throttle.FREE_TRIES] == [404] * throttle.FREE_TRIES
    assert answers[-1] == 429
    assert open_link("198.51.100.8") == 404
    assert guess("olga", address="198.51.100.7", password=PASSWORD) == 302


@pytest.mark.django_db
def test_a_link_that_holds_is_no_guess(team: Team, root: User) -> None:
    path = f"/join/?invitation={invite(team, 'viewer', timedelta(days=1), actor=actor_for(root))}"
    assert [Client().get(path).status_code for _ in range(3 * throttle.FREE_TRIES)] == [200] * 3 * throttle.FREE_TRIES
    form = {"username": "root", "password1": "x", "password2": "x"}
    assert [Client().post(path, form).status_code for _ in range(8)][-1] == 429  # whose name is taken is not asked fast
