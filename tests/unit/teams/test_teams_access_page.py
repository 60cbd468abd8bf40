"""The page of who may do what says what the code judges."""

import re
from collections.abc import Callable
from itertools import product

import pytest
from django.contrib.auth.models import User
from django.test import Client

from opsweb.core import access
from opsweb.core.access import LEAST_ROLE, OF_SUPERUSERS, Actor, Role

SignedIn = Callable[[User], Client]


def shown(text: str) -> dict[str, list[bool]]:
    """Verb → what its cells say, as a reader hears them."""
    rows = re.findall(r'<th scope="row">\s*(\w+) <b>([\w ]+)</b>\s*</th>(.*?)</tr>', text, re.S)
    cells = {f"{kind}.{verb.replace(' ', '-')}": re.findall(r"<td>(.*?)</td>", rest, re.S) for kind, verb, rest in rows}
    return {verb: ['aria-label="may"' in cell for cell in row] for verb, row in cells.items()}


def test_each_cell_is_what_access_judges(signed_in: SignedIn, vic: User) -> None:
    table = shown(signed_in(vic).get("/access/").content.decode())
    judged = {
        verb: [not access.refusal(Actor(1, "x", roles={7: role}), verb, 7) for role in Role] for verb in (*LEAST_ROLE, *OF_SUPERUSERS)
    }
    assert table == {verb: [*cells, True] for verb, cells in judged.items()}


@pytest.mark.parametrize(("who", "told"), [("ana", "you are admin"), ("vic", "you are viewer"), ("root", "admin of the panel, who may")])
def test_one_reads_ones_own_role(signed_in: SignedIn, ana: User, vic: User, root: User, who: str, told: str) -> None:
    assert told in signed_in(User.objects.get(username=who)).get("/access/").content.decode()


def test_a_table_that_changes_changes_the_page(signed_in: SignedIn, vic: User, monkeypatch: pytest.MonkeyPatch) -> None:
    client = signed_in(vic)
    for role, (verb, least) in product(Role, list(LEAST_ROLE.items())[:2]):
        with monkeypatch.context() as changed:
            changed.setitem(LEAST_ROLE, verb, role)
            assert shown(client.get("/access/").content.decode())[verb] == [one >= role for one in Role] + [True], (verb, least)
