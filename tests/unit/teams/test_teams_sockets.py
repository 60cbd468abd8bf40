"""Who may open a socket: the whole origin, or a token (SEC-A1, SEC-A2); and what the events socket then hears (INV-14)."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from redis.exceptions import RedisError

from opsweb.asgi import application
from opsweb.core import events
from opsweb.core.access import SYSTEM
from opsweb.environment import env
from opsweb.teams import consumers, members, sockets
from opsweb.teams.actors import actor_for
from opsweb.teams.models import Membership, Team
from opsweb.teams.services import create_token
from opsweb.teams.sockets import origin_is_ours

ROUTES = ["/ws/events/", "/ws/instances/00000000-0000-0000-0000-000000000007/console/"]


@pytest.mark.parametrize(
    ("origin", "is_ours"),
    [
        (b"http://testserver", True),
        (b"http://TESTSERVER", True),
        (b"http://testserver:80", True),
        (b"https://testserver", False),
        (b"http://testserver:8088", False),
        (b"http://testserver.evil.example", False),
        (b"http://evil.example/http://testserver", False),
        (b"http://testserver@evil.example", False),
        (b"null", False),
        (b"", False),
        (b"file://", False),
        (b"http://testserver:port", False),
        (b"http://test\xc3\xa9", False),
        (b"http://[::1", False),
    ],
)
@pytest.mark.parametrize("has_token", [False, True])
def test_an_origin_is_compared_whole(origin: bytes, is_ours: bool, has_token: bool) -> None:
    """SEC-A1: a token does not excuse a foreign page."""
    assert env.panel_url == "http://testserver"
    assert origin_is_ours(origin, has_token=has_token) is is_ours


@pytest.mark.parametrize("has_token", [False, True])
def test_no_origin_at_all_needs_a_token(has_token: bool) -> None:
    assert origin_is_ours(None, has_token=has_token) is has_token


class Socket(ApplicationCommunicator):
    """A socket on its way through the whole application."""

    def __init__(self, path: str, headers: list[tuple[bytes, bytes]]) -> None:
        super().__init__(application, {"type": "websocket", "path": path, "query_string": b"", "headers": headers, "subprotocols": []})

    async def opens(self) -> bool:
        """Whether it is let in."""
        await self.send_input({"type": "websocket.connect"})
        return bool((await self.receive_output(5))["type"] == "websocket.accept")

    async def next(self) -> Any:
        """The next event."""
        return json.loads((await self.receive_output(5))["text"])

    async def close(self) -> None:
        """The browser goes away."""
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(5)


async def opens(path: str, headers: list[tuple[bytes, bytes]]) -> bool:
    socket = Socket(path, headers)
    opened = await socket.opens()
    await socket.close()
    return opened


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"origin", b"http://testserver")],
        [(b"origin", b"http://evil.example")],
        [(b"origin", b"null")],
        [(b"authorization", b"Bearer ow_guess")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", b"Basic b2xnYTp4")],
        [(b"origin", b"http://testserver"), (b"cookie", b"opsweb_session=guess")],
    ],
)
async def test_nobody_gets_in(path: str, headers: list[tuple[bytes, bytes]]) -> None:
    """SEC-A1, SEC-A2: on every route, before the upgrade."""
    assert not await opens(path, headers)


@pytest.fixture
def cookie(signed_in: Callable[[User], Client], olga: User) -> bytes:
    return f"opsweb_session={signed_in(olga).cookies['opsweb_session'].value}".encode()


@pytest.mark.django_db(transaction=True)
async def test_a_session_opens_it_from_our_own_page_only(cookie: bytes) -> None:
    """SEC-A1."""
    assert await opens("/ws/events/", [(b"cookie", cookie), (b"origin", b"http://testserver")])
    assert not await opens("/ws/events/", [(b"cookie", cookie), (b"origin", b"http://evil.example")])
    assert not await opens("/ws/events/", [(b"cookie", cookie)])


@asynccontextmanager
async def listening(secret: str) -> AsyncIterator[Socket]:
    """An open events socket."""
    socket = Socket("/ws/events/", [(b"authorization", f"Bearer {secret}".encode())])
    assert await socket.opens()
    yield socket
    await socket.close()


@pytest.fixture
def secret(olga: User) -> str:
    return create_token(olga, "laptop", actor=SYSTEM)


@pytest.mark.django_db(transaction=True)
async def test_one_hears_of_ones_own_team_only(secret: str, team: Team, other_team: Team) -> None:
    """INV-14."""
    async with listening(secret) as listener:
        await events.send("instance:theirs", other_team.pk)
        await events.send("instance:ours", team.pk)
        assert await listener.next() == {"changed": "instance:ours"}


@pytest.mark.django_db(transaction=True)
async def test_a_role_that_comes_is_heard_on_an_open_socket(
    secret: str, olga: User, other_team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.02)
    async with listening(secret) as listener:
        await sync_to_async(Membership.objects.create)(user=olga, team=other_team, role="viewer")
        heard = asyncio.create_task(listener.next())
        while not heard.done():
            await events.send("instance:theirs", other_team.pk)
            await asyncio.wait({heard}, timeout=0.05)
        assert heard.result() == {"changed": "instance:theirs"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["taken out", "left"])
async def test_who_is_in_the_team_no_more_hears_of_it_no_more(
    secret: str, ana: User, olga: User, team: Team, other_team: Team, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INV-17: on an open socket, within a look at its rights."""
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.02)
    await sync_to_async(Membership.objects.create)(user=olga, team=other_team, role="viewer")

    def go() -> None:
        if how == "left":
            members.leave(team, actor=actor_for(olga))
        else:
            members.remove(team, olga.pk, actor=actor_for(ana))

    async with listening(secret) as listener:
        await events.send("instance:before", team.pk)
        assert await listener.next() == {"changed": "instance:before"}
        await sync_to_async(go)()
        async with asyncio.timeout(20):
            heard = ""
            while heard != "instance:theirs":  # the first of a round, once this team's is not heard
                await events.send("instance:ours", team.pk)
                await events.send("instance:theirs", other_team.pk)
                heard = (await listener.next())["changed"]
                while heard == "instance:ours" and (await listener.next())["changed"] != "instance:theirs":
                    pass


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("end", [lambda: User.objects.update(is_active=False), lambda: User.objects.get().tokens.all().delete()])
async def test_a_right_that_goes_ends_the_socket(secret: str, end: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-17."""
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.02)
    async with listening(secret) as listener:
        await sync_to_async(end)()
        closed = await listener.receive_output(5)
    assert closed["type"] == "websocket.close"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("place", ["opsweb.teams.sockets.Identity._look", "opsweb.teams.consumers.EventsConsumer._join"])
async def test_a_right_that_goes_while_nobody_can_look_ends_the_socket(
    secret: str, olga: User, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INV-17: the database is away, or redis is."""
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.02)
    asked = asyncio.Event()

    def look(*_: object) -> None:
        asked.set()
        raise OperationalError("database is locked") if "_look" in place else RedisError("away")

    async with listening(secret) as listener:
        with monkeypatch.context() as away:
            away.setattr(place, look)
            async with asyncio.timeout(20):
                await asked.wait()
        await sync_to_async(User.objects.filter(pk=olga.pk).update)(is_active=False)
        closed = await listener.receive_output(5)
    assert closed == {"type": "websocket.close", "code": 4401}


@pytest.mark.django_db(transaction=True)
async def test_a_database_that_stays_away_ends_the_socket(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-17."""
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.02)
    monkeypatch.setattr(consumers, "UNCHECKED_SECONDS", 0.2)

    def look(_: object) -> None:
        raise OperationalError("server closed the connection")

    async with listening(secret) as listener:
        monkeypatch.setattr("opsweb.teams.sockets.Identity._look", look)
        closed = await listener.receive_output(5)
    assert closed == {"type": "websocket.close", "code": 4503}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "end",
    [
        lambda user: Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1)),
        lambda user: (user.set_password("another password"), user.save()),
        lambda user: Session.objects.all().delete(),
    ],
    ids=["expired", "password changed", "signed out"],
)
async def test_a_session_that_ends_ends_the_socket(
    cookie: bytes, olga: User, end: Callable[[User], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """INV-17: also one that a thief holds, when its owner changes the password elsewhere."""
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.02)
    socket = Socket("/ws/events/", [(b"cookie", cookie), (b"origin", b"http://testserver")])
    assert await socket.opens()
    await sync_to_async(end)(olga)
    assert (await socket.receive_output(5))["type"] == "websocket.close"
    await socket.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("frame", [{"text": "x"}, {"text": "[" * 200_000}, {"bytes": b"\x00"}], ids=["text", "nested", "bytes"])
async def test_what_a_browser_says_is_not_listened_to(secret: str, team: Team, frame: dict[str, Any]) -> None:
    """INV-16: nor does it leave a task behind that asks the database for ever."""
    async with listening(secret) as listener:
        await listener.send_input({"type": "websocket.receive", **frame})
        await events.send("instance:ours", team.pk)
        assert await listener.next() == {"changed": "instance:ours"}


@pytest.mark.django_db(transaction=True)
async def test_one_person_opens_a_bounded_number(secret: str, ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-16: each socket costs a connection to redis and a task; the others still get in."""
    monkeypatch.setattr(sockets, "SOCKETS_EACH", 2)
    async with listening(secret), listening(secret):
        third = Socket("/ws/events/", [(b"authorization", f"Bearer {secret}".encode())])
        await third.send_input({"type": "websocket.connect"})
        assert (await third.receive_output(5)) == {"type": "websocket.close", "code": 4429}
        async with listening(await sync_to_async(create_token)(ana, "hers", actor=SYSTEM)):
            pass
    async with listening(secret):
        pass
