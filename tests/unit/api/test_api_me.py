"""me/: who one is, in which teams, with how much room left."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User

from instances.models import Instance
from opsweb.teams.models import Membership, Team, Token
from tests.conftest import nothing_changes

ApiOf = Callable[..., Any]


def test_a_member_sees_role_quota_and_use(api: ApiOf, olga: User, running: Instance, other_team: Team) -> None:
    shown = api(olga).get("me/").json()
    assert shown["user"] == "olga"
    assert shown["default_team"] == "payments"
    assert f'version = "{shown["version"]}"' in (settings.BASE_DIR / "pyproject.toml").read_text()
    assert shown["teams"] == [
        {
            "name": "payments",
            "role": "operator",
            "quota": {
                "instances": 20,
                "vcpus": 32,
                "memory_mib": 16_384,
                "networks": 5,
                "addresses": 64,
                "forwards": 100,
                "rules": 200,
            },
            "used": {"instances": 1, "vcpus": 1, "memory_mib": 256, "networks": 0, "addresses": 0, "forwards": 1, "rules": 0},
        }
    ]


def test_nobody_has_no_team(api: ApiOf, nobody: User, team: Team) -> None:
    shown = api(nobody).get("me/").json()
    assert (shown["teams"], shown["default_team"], shown["superuser"]) == ([], None, False)


def test_a_superuser_sees_every_team_and_starts_in_demo(api: ApiOf, root: User, team: Team) -> None:
    Team.objects.create(name="demo")
    shown = api(root).get("me/").json()
    assert [(mine["name"], mine["role"]) for mine in shown["teams"]] == [("demo", ""), ("payments", "")]
    assert (shown["default_team"], shown["superuser"]) == ("demo", True)


def test_a_token_says_what_it_may(api: ApiOf, olga: User) -> None:
    assert api(olga, scopes="read").get("me/").json()["scopes"] == ["read"]


def test_it_costs_the_same_for_3_and_30_teams(api: ApiOf, olga: User, django_assert_num_queries: Any) -> None:
    def join(number: int) -> None:
        for _ in range(number):
            Membership.objects.create(team=Team.objects.create(name=f"t{Team.objects.count()}"), user=olga, role="viewer")

    client = api(olga)
    join(2)
    with django_assert_num_queries(9):  # session, user, roles, teams, five of use
        client.get("me/")
    join(27)
    with django_assert_num_queries(9):
        client.get("me/")


def test_reading_changes_nothing(api: ApiOf, olga: User) -> None:
    """SEC-H1."""
    with nothing_changes(Team, Membership, Token):
        assert api(olga).get("me/").status_code == 200
