"""Every route × everybody (T2, SEC-F1, INV-14): one table. A new URL, socket or task that is not in it fails here."""

import importlib
import inspect
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from instances.api import api, console
from instances.console import Chunk, Window
from instances.models import Image, Instance, Upload
from networks.models import Group, Network, Nic, PortForward, Rule
from opsweb.asgi import websocket_urlpatterns
from opsweb.celery import app
from opsweb.core.access import SYSTEM
from opsweb.core.models import AuditEntry, Operation
from opsweb.environment import env
from opsweb.teams.actors import actor_for
from opsweb.teams.invitations import invite
from opsweb.teams.models import Invitation, Membership, Team
from opsweb.teams.services import create_token
from tests.conftest import SentTasks, nothing_changes

Expected = Mapping[str, int]
ROWS = (Instance, Image, Upload, Operation, AuditEntry, PortForward, Membership, Team, Network, Nic, Rule, Group, Invitation, User)
CAST = ("ana", "olga", "vic", "nobody", "anonymous", "root", "reader")


def everybody(ok: int, **others: int) -> Expected:
    """`ok` for all of the cast but `others`."""
    return {who: others.get(who, ok) for who in CAST}


def members_read(**others: int) -> Expected:
    """One of a team's things, through the API."""
    return everybody(200, nobody=404, anonymous=401, **others)


def operators(ok: int) -> Expected:
    """What changes one of a team's things, through the API."""
    return everybody(ok, vic=403, nobody=404, anonymous=401, reader=403)


def superusers(ok: int) -> Expected:
    """What only an admin of the panel changes, through the API: an uplink, whose team its operators are."""
    return operators(ok) | {"ana": 403, "olga": 403}


def page(**others: int) -> Expected:
    """A page; a token opens none."""
    return everybody(200, anonymous=302, reader=302) | others


def press(ok: int) -> Expected:
    """A button on a page."""
    return page(**dict.fromkeys(("ana", "olga", "root"), ok), vic=403, nobody=404)


def team_admins(ok: int) -> Expected:
    """A button for the team's admins."""
    return press(ok) | {"olga": 403}


SIGNED_IN: Expected = everybody(200, anonymous=401)
ANYBODY: Expected = everybody(200)
WRITERS = frozenset({"ana", "olga", "root"})
MEMBERS = WRITERS | {"vic"}


@dataclass(frozen=True)
class Route:
    """How to call one URL and who gets which answer; `path` and `body` name the world's things in braces."""

    name: str
    method: str
    path: str
    expected: Expected
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    writers: frozenset[str] = WRITERS

    def __str__(self) -> str:
        return f"{self.name}-{self.method}"


NETWORK_TABS = ("overview", "addresses", "forwards", "rules", "names", "health", "activity")
SPEC = {"team": "payments", "image": "web", "name": "new"}
FORM = {"name": "new", "image": "{image}", "vcpus": "1", "memory_mib": "256", "restart_policy": "never"}
LAN_FORM = {"name": "lan", "mode": "nat", "cidr4": "192.168.40.1/24", "ipv6": "none", "dhcp": "on"}
RULES_FORM = {"rule_action": "deny", "rule_direction": "in", "rule_protocol": "tcp", "rule_ports": "22", "rule_peer": ""}
QUOTA = {f"quota_{kind}": "7" for kind in ("instances", "vcpus", "memory_mib", "networks", "addresses", "forwards", "rules")}
JOIN = everybody(409, nobody=302, root=302, anonymous=422, reader=422)  # members are in already, the others need an account
INVITE = {"ana": 200, "olga": 302, "vic": 302, "nobody": 404, "root": 200}  # who may not is led back to the page, which says so
LEAVE = {"ana": 409, "olga": 204, "vic": 204, "nobody": 404, "root": 404}  # ana is the only admin, root no member
HTMX = {"HX-Request": "true"}
DENY = {"action": "deny", "direction": "in", "protocol": "tcp", "ports": "22"}

TABLE = (
    Route("api:openapi-json", "GET", "/api/v1/openapi.json", SIGNED_IN),
    Route("api:openapi-view", "GET", "/api/v1/docs", SIGNED_IN),
    Route("api:get_me", "GET", "/api/v1/me/", SIGNED_IN),
    Route("api:create_upload", "POST", "/api/v1/uploads/", operators(201), {"filename": "g", "size": 4, "team": "payments"}),
    Route("api:get_upload", "GET", "/api/v1/uploads/{upload}/", operators(200)),
    Route("api:append_upload", "PUT", "/api/v1/uploads/{upload}/", operators(200), b"half", {"Upload-Offset": "0"}),
    Route("api:cancel_upload", "DELETE", "/api/v1/uploads/{upload}/", operators(204)),
    Route("api:list_images", "GET", "/api/v1/images/", SIGNED_IN),
    Route("api:create_image", "POST", "/api/v1/images/", operators(202), {"name": "new", "team": "payments", "program": "{complete}"}),
    Route("api:get_image", "GET", "/api/v1/images/{image}/", members_read()),
    Route("api:delete_image", "DELETE", "/api/v1/images/{unused}/", operators(202)),
    Route("api:list_instances", "GET", "/api/v1/instances/", SIGNED_IN),
    Route("api:create_instance", "POST", "/api/v1/instances/", operators(202), SPEC),
    Route("api:get_instance", "GET", "/api/v1/instances/{running}/", members_read()),
    Route("api:edit_instance", "PATCH", "/api/v1/instances/{running}/", operators(200), {"vcpus": 2, "ports": ["18085:80"]}),
    Route("api:delete_instance", "DELETE", "/api/v1/instances/{running}/", operators(202)),
    Route("api:act_on_instance", "POST", "/api/v1/instances/{running}/actions/", operators(202), {"verb": "stop"}),
    Route("api:get_console", "GET", "/api/v1/instances/{running}/console/", members_read()),
    Route("api:list_operations", "GET", "/api/v1/operations/", SIGNED_IN),
    Route("api:get_operation", "GET", "/api/v1/operations/{operation}/", members_read()),
    Route("api:get_instance_rules", "GET", "/api/v1/instances/{running}/rules/", members_read()),
    Route("api:set_instance_rules", "PUT", "/api/v1/instances/{running}/rules/", operators(200), {"rules": [DENY]}),
    Route("api:list_networks", "GET", "/api/v1/networks/", SIGNED_IN),
    Route("api:create_network", "POST", "/api/v1/networks/", operators(202), {"team": "payments"}),
    Route("api:preview_network", "POST", "/api/v1/networks/preview/", operators(200), {"team": "payments"}),
    Route("api:get_network", "GET", "/api/v1/networks/{network}/", members_read()),
    Route("api:edit_network", "PATCH", "/api/v1/networks/{network}/", operators(202), {"mtu": 1400}),
    Route("api:delete_network", "DELETE", "/api/v1/networks/{network}/", operators(202)),
    Route("api:act_on_network", "POST", "/api/v1/networks/{network}/actions/", operators(202), {"verb": "repair"}),
    Route("api:link_network", "PUT", "/api/v1/networks/{network}/links/", operators(200) | {"ana": 403, "olga": 403}, {"networks": []}),
    Route("api:list_addresses", "GET", "/api/v1/networks/{network}/addresses/", members_read()),
    Route("api:list_leases", "GET", "/api/v1/networks/{network}/leases/", members_read()),
    Route("api:get_network_rules", "GET", "/api/v1/networks/{network}/rules/", members_read()),
    Route("api:set_network_rules", "PUT", "/api/v1/networks/{network}/rules/", operators(200), {"rules": [DENY]}),
    Route("api:get_network_rules", "GET", "/api/v1/networks/{uplink}/rules/", members_read()),
    Route("api:set_network_rules", "PUT", "/api/v1/networks/{uplink}/rules/", superusers(200), {"rules": [DENY]}),
    Route("api:preview_network", "POST", "/api/v1/networks/preview/", superusers(200), {"network": "{uplink}", "rules": [DENY]}),
    Route("api:edit_network", "PATCH", "/api/v1/networks/{uplink}/", superusers(202), {"mtu": 1400}),
    Route("api:delete_network", "DELETE", "/api/v1/networks/{uplink}/", superusers(202)),
    Route("api:act_on_network", "POST", "/api/v1/networks/{uplink}/actions/", superusers(202), {"verb": "repair"}),
    Route("api:list_groups", "GET", "/api/v1/groups/", SIGNED_IN),
    Route("api:create_group", "POST", "/api/v1/groups/", operators(201), {"team": "payments", "name": "new", "instances": ["{running}"]}),
    Route("api:get_group", "GET", "/api/v1/groups/{group}/", members_read()),
    Route("api:edit_group", "PATCH", "/api/v1/groups/{group}/", operators(200), {"name": "other"}),
    Route("api:delete_group", "DELETE", "/api/v1/groups/{group}/", operators(204)),
    Route("api:list_hosts", "GET", "/api/v1/hosts/", SIGNED_IN),
    Route("api:check_config", "POST", "/api/v1/config/check", SIGNED_IN, {"text": "{{}}"}),
    Route("api:nowhere", "GET", "/api/v1/nowhere/", everybody(404, anonymous=401)),
    Route("api:api-root", "GET", "/api/v1/", everybody(404)),
    Route("healthz", "GET", "/healthz", everybody(503)),  # no redis here
    Route("dashboard", "GET", "/", page()),
    Route("rail", "GET", "/rail/", page()),
    Route("activity", "GET", "/activity/", page()),
    Route("audit", "GET", "/audit/", page(**dict.fromkeys(("olga", "vic", "nobody"), 403))),
    Route("audit-export", "GET", "/audit/export.csv", page(**dict.fromkeys(("olga", "vic", "nobody"), 403))),
    Route("audit-export", "GET", "/audit/export.exe", page(ana=404, olga=404, vic=404, nobody=404, root=404)),
    Route("password", "GET", "/password/", page()),
    Route("team", "POST", "/team/", page(ana=302, olga=302, vic=302, root=302, nobody=404), {"team": "payments"}),
    Route("teams:list", "GET", "/teams/", page()),
    Route("teams:create", "GET", "/new-team/", page(**dict.fromkeys(("ana", "olga", "vic", "nobody"), 403))),
    Route("teams:create", "POST", "/new-team/", page(ana=403, olga=403, vic=403, nobody=403, root=302), {"name": "new"} | QUOTA),
    Route("teams:quota", "GET", "/teams/payments/quota/", press(403) | {"root": 200}),
    Route("teams:quota", "POST", "/teams/payments/quota/", press(403) | {"root": 302}, QUOTA),
    Route("teams:archive", "POST", "/teams/payments/archive/", press(403) | {"root": 409}, headers=HTMX),  # an instance runs
    Route("teams:restore", "POST", "/teams/payments/restore/", press(403) | {"root": 204}, headers=HTMX),
    Route("teams:access", "GET", "/access/", page()),
    Route("teams:detail", "GET", "/teams/payments/", page(nobody=404)),
    Route("teams:role", "POST", "/teams/payments/members/{vic}/role/", team_admins(204), {"role": "operator"}, HTMX),
    Route("teams:remove", "POST", "/teams/payments/members/{vic}/remove/", team_admins(204), headers=HTMX),
    Route("teams:leave", "POST", "/teams/payments/leave/", page(**LEAVE), headers=HTMX, writers=MEMBERS),
    Route("teams:invite", "POST", "/teams/payments/invitations/", page(**INVITE), {"role": "admin", "hours": "24"}),
    Route("teams:revoke", "POST", "/teams/payments/invitations/{invitation}/revoke/", team_admins(204), headers=HTMX),
    Route("teams:join", "GET", "/join/?invitation={link}", ANYBODY),
    Route("teams:join", "POST", "/join/?invitation={link}", JOIN, writers=frozenset({"nobody", "root"})),
    Route("teams:join", "POST", "/join/?invitation=guess", everybody(404)),
    Route("sign-in", "GET", "/sign-in/", everybody(302, anonymous=200, reader=200)),
    Route("sign-out", "POST", "/sign-out/", everybody(302)),
    Route("instances:list", "GET", "/instances/", page()),
    Route("instances:create", "GET", "/instances/new/", page()),
    Route("instances:create", "POST", "/instances/new/", page(ana=302, olga=302, root=302, vic=422, nobody=200), FORM),
    Route("instances:detail", "GET", "/instances/{running}/", page(nobody=404)),
    Route("instances:detail", "GET", "/instances/{running}/?tab=console", page(nobody=404)),
    Route("instances:detail", "GET", "/instances/{running}/?tab=activity", page(nobody=404)),
    Route("instances:detail", "GET", "/instances/{running}/?tab=config", page(nobody=404)),
    Route("instances:edit", "POST", "/instances/{running}/edit/", page(ana=302, olga=302, root=302, vic=422, nobody=404), FORM),
    Route("instances:verb", "POST", "/instances/{running}/verbs/stop/", press(204), headers=HTMX),
    Route("instances:detail", "GET", "/instances/{running}/?tab=network", page(nobody=404)),
    Route("instances:rules", "POST", "/instances/{running}/rules/", press(302), RULES_FORM),
    Route("instances:rules-plan", "POST", "/instances/{running}/rules/plan/", page(nobody=404), RULES_FORM),
    Route("networks:list", "GET", "/networks/", page()),
    Route("networks:create", "GET", "/networks/new/", page()),
    Route("networks:create", "POST", "/networks/new/", page(ana=302, olga=302, root=302, vic=422), LAN_FORM | {"name": "new"}),
    Route("networks:plan", "POST", "/networks/new/plan/", page(nobody=404), LAN_FORM | {"name": "new"}),
    *(Route("networks:detail", "GET", f"/networks/{{network}}/?tab={tab}", page(nobody=404)) for tab in NETWORK_TABS),
    Route("networks:edit", "GET", "/networks/{network}/edit/", page(nobody=404)),
    Route("networks:edit", "POST", "/networks/{network}/edit/", page(ana=302, olga=302, root=302, vic=422, nobody=404), LAN_FORM),
    Route("networks:edit-plan", "POST", "/networks/{network}/edit/plan/", page(nobody=404), LAN_FORM),
    Route("networks:rules", "POST", "/networks/{network}/rules/", press(302), RULES_FORM),
    Route("networks:rules-plan", "POST", "/networks/{network}/rules/plan/", page(nobody=404), RULES_FORM),
    Route("networks:rules", "POST", "/networks/{uplink}/rules/", press(403) | {"root": 302}, RULES_FORM),
    Route("networks:verb", "POST", "/networks/{uplink}/verbs/delete/", press(403) | {"root": 204}, headers=HTMX),
    Route("networks:verb", "POST", "/networks/{network}/verbs/repair/", press(204), headers=HTMX),
    Route("networks:verb", "POST", "/networks/{network}/verbs/delete/", press(204), headers=HTMX),
    Route("networks:groups", "GET", "/networks/groups/", page()),
    Route("networks:group-create", "GET", "/networks/groups/new/", page()),
    Route("networks:group-create", "POST", "/networks/groups/new/", page(ana=302, olga=302, root=302, vic=422, nobody=422), {"name": "db"}),
    Route("networks:group", "GET", "/networks/groups/{group}/", page(nobody=404)),
    Route("networks:group", "POST", "/networks/groups/{group}/", page(ana=302, olga=302, root=302, vic=422, nobody=404), {"name": "other"}),
    Route("networks:group-delete", "POST", "/networks/groups/{group}/delete/", press(204), headers=HTMX),
    Route("images:list", "GET", "/images/", page()),
    Route("images:detail", "GET", "/images/{image}/", page(nobody=404)),
    Route("images:delete", "POST", "/images/{unused}/delete/", press(204), headers=HTMX),
    Route("operations:drawer", "GET", "/operations/", page()),
    Route("admin-sign-in", "GET", "/admin/login/", everybody(403, anonymous=302, reader=302)),
)
CHANGES = {"POST", "PUT", "PATCH", "DELETE"}


@pytest.fixture
def world(
    running: Instance,
    image: Image,
    team: Team,
    ana: User,
    olga: User,
    vic: User,
    nobody: User,
    root: User,
    sent: SentTasks,
    monkeypatch: pytest.MonkeyPatch,
) -> Mapping[str, str]:
    """One of each thing of the team; ids by name."""
    link = invite(team, "operator", timedelta(days=1), actor=actor_for(ana))
    things = {
        "running": running,
        "image": image,
        "unused": Image.objects.create(team=team, host=image.host, name="unused"),
        "upload": Upload.objects.create(team=team, filename="g", size=4),
        "complete": Upload.objects.create(team=team, filename="g", size=4, received=4),
        "network": Network.objects.create(
            team=team, host=image.host, name="lab", uid_offset=env.network_offsets[0], cidr4="192.168.42.0/24", gateway4="192.168.42.1"
        ),
        "uplink": Network.objects.create(
            team=team,
            host=image.host,
            name="out",
            uid_offset=env.network_offsets[1],
            cidr4="192.168.77.0/24",
            gateway4="192.168.77.1",
            mode="uplink",
            adapter="eth1",
            dhcp=False,
        ),
        "vic": vic,
        "invitation": Invitation.objects.get(),
        "group": Group.objects.create(team=team, name="web"),
        "operation": Operation.objects.create(
            kind="instance", target_id=running.pk, target_label="web1", team=team, verb="start", status="succeeded", requested_by="ana"
        ),
    }

    async def watcher(*_: object) -> tuple[Window, Chunk]:
        return Window(0, 5), Chunk(0, b"hello")

    monkeypatch.setattr(console, "ask", watcher)
    monkeypatch.setattr(console, "redis", lambda: None)
    return {name: str(thing.pk) for name, thing in things.items()} | {"link": link}


def client_of(who: str) -> Client:
    """A client of one of the cast; "reader" is a read-only token of the team's admin."""
    if who == "reader":
        secret = create_token(User.objects.get(username="ana"), "reader", actor=SYSTEM, scopes="read")
        return Client(headers={"Authorization": f"Bearer {secret}"})
    client = Client()
    if who != "anonymous":
        client.force_login(User.objects.get(username=who))
    return client


def call(route: Route, client: Client, world: Mapping[str, str]) -> HttpResponse:
    """Call it as its door wants it: JSON or bytes for the API, a form for a page."""
    path, body = route.path.format(**world), filled(route.body, world)
    send = getattr(client, route.method.lower())
    if route.method not in CHANGES:
        return send(path, headers=route.headers)
    if isinstance(body, bytes):
        return send(path, body, content_type="application/octet-stream", headers=route.headers)
    if path.startswith("/api/"):
        return send(path, body, content_type="application/json", headers=route.headers)
    return send(path, body or {}, headers=route.headers)


def filled(body: Any, world: Mapping[str, str]) -> Any:
    if isinstance(body, dict):
        return {name: filled(value, world) for name, value in body.items()}
    if isinstance(body, list):
        return [filled(value, world) for value in body]
    return body.format(**world) if isinstance(body, str) else body


@pytest.mark.parametrize("route", TABLE, ids=str)
def test_everybody_gets_the_answer_of_the_table(route: Route, world: Mapping[str, str]) -> None:
    """INV-14; and who only reads, or is refused, has changed nothing (SEC-H1)."""
    answers = {}
    for who in CAST:
        client = client_of(who)
        may_change = route.method in CHANGES and who in route.writers and route.expected[who] < 400
        with transaction.atomic():
            with nullcontext() if may_change else nothing_changes(*ROWS):
                answers[who] = call(route, client, world).status_code
            transaction.set_rollback(True)
    assert answers == dict(route.expected)


def every_url() -> Iterator[tuple[str, str]]:
    """(name with namespaces, path) of each URL that Django knows."""

    def walk(patterns: list[Any], names: str, path: str) -> Iterator[tuple[str, str]]:
        for pattern in patterns:
            if isinstance(pattern, URLResolver):
                inner = f"{names}{pattern.namespace}:" if pattern.namespace else names
                yield from walk(pattern.url_patterns, inner, path + str(pattern.pattern))
            else:
                assert isinstance(pattern, URLPattern)
                yield names + (pattern.name or ""), path + str(pattern.pattern)

    return walk(get_resolver().url_patterns, "", "")


def test_no_url_is_missing_in_the_table() -> None:
    """A new one must say who may call it."""
    known = {route.name for route in TABLE}
    urls = {name for name, _ in every_url() if not name.startswith("admin:")}
    assert urls == known


def test_no_method_of_the_api_is_missing_in_the_table() -> None:
    routes = {(operation.url_name, method) for operation in operations_of_the_api() for method in operation.methods}
    assert routes == {(route.name.removeprefix("api:"), route.method) for route in TABLE if route.name.startswith("api:")} - {
        ("openapi-json", "GET"),
        ("openapi-view", "GET"),
        ("api-root", "GET"),
        ("nowhere", "GET"),
    }


def operations_of_the_api() -> Iterator[Any]:
    for _, router in api._routers:
        for view in router.path_operations.values():
            yield from (operation for operation in view.operations if operation.include_in_schema)


def test_the_admin_is_for_superusers(world: Mapping[str, str]) -> None:
    """Every URL of it, without knowing which there are."""
    paths = sorted({"/" + path for name, path in every_url() if name.startswith("admin:") and not set("<(^$") & set(path)})
    assert len(paths) > 20
    for who in CAST:
        client = client_of(who)
        with nothing_changes(*ROWS):
            statuses = {path: client.get(path).status_code for path in paths}
        opened = {path for path, status in statuses.items() if status == 200}
        assert (len(opened) > 10) if who == "root" else not opened, who


SOCKETS = {"ws/events/", "ws/instances/<uuid:instance_id>/console/"}  # tests/unit/teams/test_teams_sockets.py and contract/test_console.py


def test_no_socket_is_missing() -> None:
    assert {str(route.pattern) for route in websocket_urlpatterns} == SOCKETS


# Each takes ids of rows and nothing else; the worker reads the row and judges anew (INV-12).
TASKS = {
    "core.trim_audit": (),
    "instances.converge": ("instance_id",),
    "instances.apply_forwards": ("instance_id",),
    "instances.keep_taps": (),
    "instances.build_image": ("image_id",),
    "instances.erase_image": ("image_id",),
    "instances.sweep": (),
    "instances.inspect_host": (),
    "networks.converge": ("network_id",),
    "networks.keep_filter": ("host_id",),
}


def test_no_task_is_missing() -> None:
    """INV-12."""
    for app_name in ("opsweb.core", "instances", "networks"):
        importlib.import_module(f"{app_name}.tasks")
    ours = {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}
    assert {name: tuple(inspect.signature(task.run).parameters) for name, task in ours.items()} == TASKS


@pytest.mark.parametrize("task", [name for name, arguments in TASKS.items() if arguments])
@pytest.mark.parametrize("given", ["../../etc/passwd", "", "7.0", "x'; DROP TABLE", "00000000-0000-0000-0000-00000000000g"])
def test_a_task_takes_nothing_but_an_id(db: None, task: str, given: str) -> None:
    """SEC-D2."""
    importlib.import_module(f"{task.partition('.')[0]}.tasks")
    with pytest.raises(ValueError):
        app.tasks[task](given)


def test_the_workers_take_json_only() -> None:
    """INV-12, SEC-D2: no pickle."""
    assert list(app.conf.accept_content) == ["json"]
    assert app.conf.task_serializer == "json"
