"""Fixtures of the unit tests: rows to look at and a client that speaks JSON."""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from channels.layers import channel_layers
from django.contrib.auth.models import User
from django.db import connection, connections
from django.http import HttpResponse
from django.test import Client

from instances.models import Image, Instance, Upload
from instances.states import Desired, Observed
from networks.models import Nic, PortForward
from opsweb.core import events, queue
from opsweb.core.access import SYSTEM
from opsweb.core.errors import Refusal
from opsweb.core.models import Host
from opsweb.settings import database
from opsweb.teams.models import Team
from opsweb.teams.services import create_token

MakeInstance = Callable[..., Instance]


@pytest.fixture(autouse=True)
def _fresh_channel_layer() -> None:
    """Who listened in one test hears nothing of the next."""
    channel_layers.backends.clear()


@pytest.fixture
def image(team: Team, host: Host) -> Image:
    """A built image of the team."""
    return Image.objects.create(team=team, host=host, name="web", digest="ab" * 32, size=4096, facts={"program": "/web"})


@pytest.fixture
def other_image(other_team: Team, host: Host) -> Image:
    """A built image of the other team."""
    return Image.objects.create(team=other_team, host=host, name="theirs", digest="cd" * 32, facts={"program": "/theirs"})


@pytest.fixture
def make_instance(image: Image) -> MakeInstance:
    """A row with a NIC and the forwards `ports` ((host, guest) pairs); columns as keywords."""

    def make(name: str = "web1", *, ports: tuple[tuple[int, int], ...] = (), of: Image = image, **columns: Any) -> Instance:
        uid = Instance.objects.count() + 1
        instance = Instance.objects.create(team=of.team, host=of.host, image=of, name=name, uid_offset=uid, **columns)
        nic = Nic.objects.create(instance=instance)
        for host_port, guest_port in ports:
            PortForward.objects.create(
                nic=nic, host=of.host, team=of.team, host_port=host_port, guest_port=guest_port, bound_port=host_port
            )
        return instance

    return make


@pytest.fixture
def running(make_instance: MakeInstance) -> Instance:
    """An instance that runs, with a port and a secret."""
    return make_instance(
        "web1",
        ports=((18_080, 8080),),
        desired=Desired.RUNNING,
        observed=Observed.RUNNING,
        env={"MODE": "fast", "PASSWORD": "hunter2hunter2"},
        secret_env=["PASSWORD"],
    )


@pytest.fixture
def stopped(make_instance: MakeInstance) -> Instance:
    """An instance that was seen stopped."""
    return make_instance("idle", desired=Desired.STOPPED, observed=Observed.STOPPED)


@pytest.fixture
def foreign(make_instance: MakeInstance, other_image: Image) -> Instance:
    """An instance of a team that nobody of the cast is in."""
    return make_instance("theirs", of=other_image, desired=Desired.RUNNING, observed=Observed.RUNNING)


@pytest.fixture
def upload(team: Team) -> Upload:
    """A complete upload of the team."""
    return Upload.objects.create(team=team, filename="web", size=4, received=4)


class Api:
    """Somebody's client of /api/v1/."""

    def __init__(self, user: User | None = None, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.client = Client(headers=headers)
        if user is not None and not token:
            self.client.force_login(user)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        """`body` goes as JSON; bytes go as they are."""
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        data = body if isinstance(body, bytes) else "" if body is None else json.dumps(body)
        return self.client.generic(method, f"/api/v1/{path}", data, content_type=kind, headers=headers)

    def get(self, path: str, **query: Any) -> HttpResponse:
        """Read."""
        return self.client.get(f"/api/v1/{path}", query)

    def post(self, path: str, body: Any = None) -> HttpResponse:
        """Create or act."""
        return self("POST", path, body)


@pytest.fixture
def api() -> Callable[..., Api]:
    """`api(ana)`, `api(ana, scopes="read")` for a token, `api()` for nobody at all."""

    def client(user: User | None = None, scopes: str = "") -> Api:
        secret = create_token(user, "test", actor=SYSTEM, scopes=scopes) if user and scopes else ""
        return Api(user, secret)

    return client


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Other connections of a PostgreSQL see only what is committed."""
    for item in items:
        if connection.vendor == "postgresql" and "file_database" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.django_db(transaction=True))


@pytest.fixture
def file_database(db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A database whose threads have connections of their own, as processes have: PostgreSQL, or SQLite in a file."""
    monkeypatch.setattr(queue, "_send", lambda *_: None)
    monkeypatch.setattr(events, "_send", lambda *_: None)
    if connection.vendor == "postgresql":
        yield
        return
    before, memory = connections.settings["default"], connections["default"]
    with closing(sqlite3.connect(tmp_path / "db.sqlite3")) as file:
        memory.connection.backup(file)
    connections.settings["default"] = before | {"NAME": str(tmp_path / "db.sqlite3"), "OPTIONS": database()["OPTIONS"]}
    connections["default"] = connections.create_connection("default")
    yield
    connections["default"].close()
    connections.settings["default"], connections["default"] = before, memory


AtOnce = Callable[[Iterable[Callable[[], Any]]], list[Any]]


@pytest.fixture
def at_once() -> AtOnce:
    """Run calls in a thread each, let go together; returns what each returned or raised. Use it with `file_database`."""

    def run(calls: Iterable[Callable[[], Any]]) -> list[Any]:
        waiting = list(calls)
        gate = threading.Barrier(len(waiting))

        def one(call: Callable[[], Any]) -> Any:
            gate.wait(30)
            try:
                return call()
            except Refusal as refusal:
                return refusal
            finally:
                connections.close_all()

        with ThreadPoolExecutor(len(waiting)) as pool:
            return [future.result(60) for future in [pool.submit(one, call) for call in waiting]]

    return run
