"""What stands on the pages: bounded queries, escaped text, no inline code, filters, fragments."""

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from instances.states import Observed
from opsweb.core import audit
from opsweb.core.access import SYSTEM
from opsweb.core.models import Operation
from opsweb.teams.models import Team
from tests.unit.conftest import MakeInstance
from tests.unit.pages.test_pages_access import LISTS, TABS, pages

SignedIn = Callable[[User], Client]


def queries(client: Client, path: str) -> int:
    """How many one look costs."""
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


def test_a_page_costs_as_many_queries_with_many_rows_as_with_few(
    signed_in: SignedIn, ana: User, team: Team, make_instance: MakeInstance
) -> None:
    client = signed_in(ana)
    first = make_instance("n-0", ports=((20_000, 80),), observed=Observed.RUNNING)
    audit.record(SYSTEM, "instance.start", kind="instance", target_id=first.pk, label=first.name, team_id=team.pk)
    Operation.objects.create(kind="instance", target_id=first.pk, target_label=first.name, team=team, verb="start", requested_by="ana")
    paths = [*map(reverse, LISTS), *(f"{reverse('instances:detail', args=[first.pk])}?tab={tab}" for tab in TABS)]
    for path in paths:
        client.get(path)  # the session's own first visit
    few = {path: queries(client, path) for path in paths}
    for number in range(1, 30):
        row = make_instance(f"n-{number}", ports=((20_000 + number, 80), (21_000 + number, 81)), observed=Observed.RUNNING)
        operation = {
            "kind": "instance",
            "target_id": row.pk,
            "target_label": row.name,
            "team": team,
            "verb": "start",
            "requested_by": "ana",
        }
        Operation.objects.create(**operation)
        audit.record(SYSTEM, "instance.start", kind="instance", target_id=row.pk, label=row.name, team_id=team.pk)
    assert {path: queries(client, path) for path in paths} == few


def test_a_fragment_is_the_part_alone_and_does_not_pay_for_the_frame(signed_in: SignedIn, ana: User, make_instance: MakeInstance) -> None:
    make_instance()
    client = signed_in(ana)
    whole = client.get("/instances/")
    part = client.get("/instances/", headers={"X-Fragment": "instances"})
    assert (b"<html" in whole.content, b"<html" in part.content) == (True, False)
    assert part.content.strip().startswith(b'<div id="instances"')
    assert "X-Fragment" in part["Vary"]
    assert "private" in part["Cache-Control"]


HOSTILE = "\"><script>alert(1)</script>{{ 7|add:7 }}<img src=x onerror=alert(1)>'`"


def test_hostile_text_is_text_everywhere(signed_in: SignedIn, ana: User, team: Team, make_instance: MakeInstance) -> None:
    """SEC-H2: every field that a person, a guest or a builder can fill, on every page."""
    instance = make_instance(
        args=[HOSTILE],
        env={"A": HOSTILE},
        hosts={HOSTILE: "10.0.2.2"},
        nameservers=[HOSTILE],
        message=HOSTILE,
        limits_note=HOSTILE,
        exit={"reason": "crash", "code": 1, "signal": None, "message": HOSTILE},
    )
    instance.image.facts = {"program": HOSTILE, "libraries": [HOSTILE], "interpreter": HOSTILE}
    instance.image.notes = [{"field": HOSTILE, "note": HOSTILE}]
    instance.image.error = HOSTILE
    instance.image.save()
    named = {"kind": "instance", "target_id": instance.pk, "target_label": HOSTILE[:80], "team": team, "requested_by": HOSTILE}
    Operation.objects.create(
        **named, verb="start", status="failed", error_message=HOSTILE, progress=HOSTILE, steps=[{"name": HOSTILE, "started": 1, "ms": 1}]
    )
    details = {"fields": [HOSTILE]}
    audit.record(SYSTEM, "instance.edit", kind="instance", target_id=instance.pk, label=HOSTILE, team_id=team.pk, details=details)
    client = signed_in(ana)
    for path in [*pages(instance), f"/instances/?name={HOSTILE}", f"/images/?name={HOSTILE}"]:
        text = client.get(path).content.decode()
        assert "<script>alert" not in text, path
        assert "<img src=x" not in text, path


def test_no_page_has_inline_code(signed_in: SignedIn, ana: User, make_instance: MakeInstance) -> None:
    """SEC-H3: the policy forbids it, so nothing may need it."""
    client = signed_in(ana)
    for path in [*pages(make_instance(observed=Observed.RUNNING)), "/no-such-page/"]:
        answer = client.get(path)
        text = answer.content.decode()
        assert re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", text) is None, path
        assert "unsafe" not in answer["Content-Security-Policy"]


def test_a_secret_is_on_no_page(signed_in: SignedIn, ana: User, make_instance: MakeInstance) -> None:
    """SEC-J1."""
    instance = make_instance(env={"KEY": "hunter2", "MODE": "fast"}, secret_env=["KEY"])
    client = signed_in(ana)
    for path in pages(instance):
        assert b"hunter2" not in client.get(path).content, path
    assert b"MODE=fast" in client.get(f"/instances/{instance.pk}/?tab=config").content


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["api", "bob", "etl"]),
        ("name=ap", ["api"]),
        ("name=20001", ["bob"]),
        ("name=127.0.0.1:20001", ["bob"]),
        ("state=running", ["api", "bob"]),
        ("state=stopped", ["etl"]),
        ("state=nonsense", ["api", "bob", "etl"]),
        ("sort=-name", ["etl", "bob", "api"]),
        ("sort=size", ["etl", "api", "bob"]),
        ("sort=password", ["api", "bob", "etl"]),
        ("page=99", ["api", "bob", "etl"]),
    ],
)
def test_the_list_is_filtered_and_sorted_by_its_address(
    signed_in: SignedIn, vic: User, make_instance: MakeInstance, query: str, found: list[str]
) -> None:
    make_instance("bob", ports=((20_001, 80),), observed=Observed.RUNNING, memory_mib=512)
    make_instance("api", observed=Observed.RUNNING, memory_mib=256)
    make_instance("etl", observed=Observed.STOPPED, memory_mib=128)
    text = signed_in(vic).get(f"/instances/?{query}").content.decode()
    assert re.findall(r'class="ow-name"[^>]*>\s*([a-z]+)', text) == found


def test_a_wrong_tab_or_verb_is_not_there(signed_in: SignedIn, ana: User, make_instance: MakeInstance) -> None:
    instance = make_instance()
    client = signed_in(ana)
    assert client.get(f"/instances/{instance.pk}/?tab=nonsense").status_code == 404
    assert client.post(f"/instances/{instance.pk}/verbs/nonsense/").status_code == 404


def test_an_error_page_carries_the_requests_id(signed_in: SignedIn, ana: User) -> None:
    answer = signed_in(ana).get("/instances/00000000-0000-0000-0000-000000000000/")
    assert answer["X-Request-ID"].encode() in answer.content
