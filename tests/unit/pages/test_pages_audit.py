"""/audit/: who sees which entries, the filters, the files."""

import ast
import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from opsweb.core import audit
from opsweb.core.access import Actor
from opsweb.core.models import AuditEntry
from opsweb.teams import exports, trail
from opsweb.teams.models import Membership, Team
from tests.unit.conftest import MakeInstance
from tests.unit.test_architecture import modules

SignedIn = Callable[[User], Client]
pytestmark = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators")


def record(label: str, team: Team | None, verb: str = "instance.start", person: str = "ana", **facts: Any) -> None:
    kind = verb.partition(".")[0]
    actor = Actor(None, person, address="192.0.2.7", request_id=f"req-{label}")
    entry = {"kind": kind, "target_id": uuid4(), "label": label, "team_id": team.pk if team else None}
    audit.record(actor, verb, **{**entry, **facts})


def shown(client: Client, **query: str) -> set[str]:
    """The labels on the page, which the file has, too."""
    page = client.get("/audit/", query)
    assert page.status_code == 200
    on_page = {row.row.target_label for row in page.context["rows"]}
    assert {row["target_label"] for row in exported(client, **query)} == on_page
    return on_page


def body(client: Client, form: str, **query: str) -> str:
    return b"".join(client.get(f"/audit/export.{form}", query)).decode()


def exported(client: Client, **query: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in body(client, "jsonl", **query).splitlines()]


def test_an_admin_sees_the_entries_of_their_teams_and_a_superuser_all(
    signed_in: SignedIn, ana: User, root: User, team: Team, other_team: Team
) -> None:
    record("own", team)
    record("foreign", other_team)
    record("nobody's", None)
    Membership.objects.create(user=ana, team=other_team, role="operator")
    assert shown(signed_in(ana)) == {"own"}
    assert shown(signed_in(root)) == {"own", "foreign", "nobody's"}
    assert shown(signed_in(root), team=other_team.name) == {"foreign"}
    page = signed_in(ana).get("/audit/", {"team": other_team.name}).content.decode()  # a team of theirs, but not theirs to audit
    assert "foreign" not in page
    assert signed_in(ana).get("/audit/export.csv", {"team": other_team.name}).status_code == 422


def test_the_rail_leads_there_whom_it_is_for(signed_in: SignedIn, ana: User, olga: User, root: User) -> None:
    reads = {user.username: b'href="/audit/"' in signed_in(user).get("/rail/").content for user in (ana, olga, root)}
    assert reads == {"ana": True, "olga": False, "root": True}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"person": "Olga"}, {"web2"}),
        ({"verb": "instance."}, {"web1", "web2"}),
        ({"verb": "instance.stop"}, {"web2"}),
        ({"kind": "image"}, {"img"}),
        ({"text": "WEB"}, {"web1", "web2"}),
        ({"text": "req-img"}, {"img"}),
        ({"text": "192.0.2.7"}, {"web1", "web2", "img", "old"}),
        ({"from": "2026-03-02"}, {"web1", "web2", "img"}),
        ({"from": "2026-03-01", "to": "2026-03-01"}, {"old"}),
        ({"to": "2026-02-28"}, set()),
        ({"kind": "instance", "person": "ana"}, {"web1"}),
    ],
)
def test_filters_narrow(signed_in: SignedIn, ana: User, team: Team, query: dict[str, str], found: set[str]) -> None:
    with patch.object(timezone, "now", lambda: datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)):
        record("old", team, verb="group.edit")
    with patch.object(timezone, "now", lambda: datetime(2026, 3, 2, tzinfo=UTC)):
        record("web1", team)
        record("web2", team, verb="instance.stop", person="olga")
        record("img", team, verb="image.create")
    assert AuditEntry.objects.filter(at__lt=timezone.now() - timedelta(days=1)).count() == 4
    assert shown(signed_in(ana), **query) == found


def test_a_day_that_is_none_is_said(signed_in: SignedIn, root: User) -> None:
    client = signed_in(root)
    assert "Enter a valid date" in client.get("/audit/", {"from": "yesterday"}).content.decode()
    assert client.get("/audit/export.csv", {"from": "yesterday"}).status_code == 422


def test_pages_cost_the_same_however_many_entries(
    signed_in: SignedIn, ana: User, team: Team, make_instance: MakeInstance, django_assert_num_queries: Any
) -> None:
    """A link leads to what is there; newest first."""
    client, instance = signed_in(ana), make_instance("there")
    record("there", team, target_id=instance.pk)
    page = client.get("/audit/").content.decode()
    assert f'<a href="/instances/{instance.pk}/">there</a>' in page
    with django_assert_num_queries(12) as few:
        client.get("/audit/")
    for n in range(120):
        record(f"gone{n}", team)
    with django_assert_num_queries(len(few)):
        first = client.get("/audit/", {"page": "1"})
    assert [row.row.target_label for row in first.context["rows"]] == [f"gone{n}" for n in range(119, 69, -1)]
    assert b"<span>gone119</span>" in first.content


def test_a_file_has_everything_a_few_at_a_time(signed_in: SignedIn, root: User, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "AT_ONCE", 2)
    for n in range(5):
        record(f"e{n}", team, details={"fields": ["args"]})
    rows = exported(signed_in(root))
    assert [row["target_label"] for row in rows] == ["e4", "e3", "e2", "e1", "e0"]
    assert rows[1]["hash"] == rows[0]["previous"]
    table = list(csv.DictReader(StringIO(body(signed_in(root), "csv"), newline="")))
    assert [row["target_label"] for row in table] == ["e4", "e3", "e2", "e1", "e0"]
    assert table[0] | {"details": rows[0]["details"], "id": rows[0]["id"]} == rows[0]
    assert json.loads(table[0]["details"]) == {"fields": ["args"]}
    answer = signed_in(root).get("/audit/export.csv")
    assert answer["Content-Disposition"] == f'attachment; filename="audit-{timezone.now():%Y-%m-%d}.csv"'


def test_entries_of_a_team_that_is_gone_are_readable(signed_in: SignedIn, root: User, other_team: Team) -> None:
    record("left", other_team)
    other_team.delete()
    assert shown(signed_in(root)) == {"left"}
    assert "left" in signed_in(root).get("/admin/core/auditentry/").content.decode()
    entry = AuditEntry.objects.get()
    assert signed_in(root).get(f"/admin/core/auditentry/{entry.pk}/change/").status_code == 200


@pytest.mark.parametrize("label", ["=1+1", "+1", "-1", "@x", "\tx", "\r=1", "\n=1", "＝1"])  # noqa: RUF001
def test_no_cell_is_a_formula(signed_in: SignedIn, root: User, team: Team, label: str) -> None:
    record(label, team, verb="upload.create", person=label)
    row = next(csv.DictReader(StringIO(body(signed_in(root), "csv"), newline="")))
    assert row["target_label"] == row["actor_name"] == f"'{label}"


def test_hostile_labels_are_text(signed_in: SignedIn, root: User, team: Team) -> None:
    record("<script>alert(1)</script>", team, details={"<b>": "<i>"})
    page = signed_in(root).get("/audit/").content.decode()
    assert "<script>alert" not in page
    assert "&lt;b&gt;: &lt;i&gt;" in page


def test_every_kind_can_be_filtered_for() -> None:
    kinds = {
        keyword.value.value
        for tree in modules().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "audit.record"
        for keyword in node.keywords
        if keyword.arg == "kind" and isinstance(keyword.value, ast.Constant)
    }
    assert len(kinds) > 5
    assert kinds <= set(trail.KINDS)
