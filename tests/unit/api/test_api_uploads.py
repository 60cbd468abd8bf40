"""uploads/: bytes in chunks with an offset, resumed, refused, cancelled; the web process stores them and looks at nothing."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User

from instances.models import Upload
from instances.services import uploads
from opsweb.core.models import AuditEntry
from opsweb.teams.models import Team
from tests.conftest import SentTasks, nothing_changes

ApiOf = Callable[..., Any]


def announce(client: Any, size: int = 8) -> str:
    return str(client.post("uploads/", {"filename": "g", "size": size}).json()["id"])


def put(client: Any, identifier: str, offset: int, body: bytes) -> Any:
    return client("PUT", f"uploads/{identifier}/", body, **{"Upload-Offset": str(offset)})


def stored(identifier: str) -> bytes:
    return uploads.path_of(UUID(identifier)).read_bytes()


def test_chunks_become_the_file(api: ApiOf, olga: User) -> None:
    client = api(olga)
    begun = client.post("uploads/", {"filename": "g", "size": 8})
    assert begun.status_code == 201
    assert begun.json() | {"id": ""} == {"id": "", "filename": "g", "size": 8, "received": 0, "chunk_size": 8 * 1024**2}
    identifier = begun.json()["id"]
    assert put(client, identifier, 0, b"\x7fELF").json()["received"] == 4
    assert put(client, identifier, 4, b"done").json() | {"id": ""} == begun.json() | {"id": "", "received": 8}
    assert stored(identifier) == b"\x7fELFdone"
    assert client.get(f"uploads/{identifier}/").json()["received"] == 8


def test_a_broken_upload_goes_on_where_it_was(api: ApiOf, olga: User) -> None:
    client = api(olga)
    identifier = announce(client)
    put(client, identifier, 0, b"half")
    with nothing_changes(Upload):
        again = put(client, identifier, 0, b"HALF")
    assert (again.status_code, again.json()["code"], again.json()["fields"]) == (409, "upload_offset", {"received": [4]})
    assert stored(identifier) == b"half"


@pytest.mark.parametrize("offset", [3, 5, 8])
def test_a_gap_or_an_overlap_is_refused(api: ApiOf, olga: User, offset: int) -> None:
    client = api(olga)
    identifier = announce(client)
    put(client, identifier, 0, b"half")
    assert put(client, identifier, offset, b"x").json()["fields"] == {"received": [4]}


def test_more_than_announced_is_refused(api: ApiOf, olga: User) -> None:
    """SEC-B3."""
    client = api(olga)
    identifier = announce(client)
    with nothing_changes(Upload):
        assert put(client, identifier, 0, b"nine char").status_code == 413


def test_a_chunk_has_a_limit(api: ApiOf, olga: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """SEC-B3: judged by the header, before the body is read."""
    monkeypatch.setattr(uploads, "CHUNK_SIZE", 4)
    client = api(olga)
    identifier = announce(client)
    answer = put(client, identifier, 0, b"five!")
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize("headers", [{}, {"Upload-Offset": "-1"}, {"Upload-Offset": "x"}, {"Upload-Offset": "9" * 5000}])
def test_an_offset_is_needed(api: ApiOf, olga: User, headers: dict[str, str]) -> None:
    client = api(olga)
    answer = client("PUT", f"uploads/{announce(client)}/", b"x", **headers)
    assert answer.status_code == 422
    assert list(answer.json()["fields"]) == ["Upload-Offset"]


@pytest.mark.parametrize(
    "change", [{"size": 0}, {"size": -1}, {"size": 1.5}, {"size": 10**30}, {"filename": ""}, {"filename": "a\0b"}, {"path": "/etc/passwd"}]
)
def test_a_bad_announcement_is_refused(api: ApiOf, olga: User, change: dict[str, Any]) -> None:
    with nothing_changes(Upload, AuditEntry):
        assert api(olga).post("uploads/", {"filename": "g", "size": 8} | change).status_code == 422


def test_too_much_is_refused_at_once(api: ApiOf, olga: User) -> None:
    """SEC-B3."""
    answer = api(olga).post("uploads/", {"filename": "g", "size": uploads.MAX_SIZE + 1})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_the_file_name_is_never_a_path(api: ApiOf, olga: User) -> None:
    """SEC-C1: bytes lie under a name of our own."""
    client = api(olga)
    identifier = client.post("uploads/", {"filename": "../../etc/cron.d/x", "size": 1}).json()["id"]
    put(client, identifier, 0, b"x")
    assert uploads.path_of(UUID(identifier)).name == identifier
    assert stored(identifier) == b"x"


def test_cancelling_leaves_nothing(api: ApiOf, olga: User, sent: SentTasks) -> None:
    client = api(olga)
    identifier = announce(client)
    put(client, identifier, 0, b"half")
    assert client("DELETE", f"uploads/{identifier}/").status_code == 204
    assert not Upload.objects.exists()
    assert not uploads.path_of(UUID(identifier)).exists()
    assert put(client, identifier, 4, b"rest").status_code == 404


def test_a_viewer_may_not(api: ApiOf, olga: User, vic: User) -> None:
    identifier = announce(api(olga))
    with nothing_changes(Upload):
        assert api(vic).post("uploads/", {"filename": "g", "size": 8}).status_code == 403
        assert put(api(vic), identifier, 0, b"half").status_code == 403
        assert api(vic).get(f"uploads/{identifier}/").status_code == 403
        assert api(vic)("DELETE", f"uploads/{identifier}/").status_code == 403


def test_invisible_is_like_absent(api: ApiOf, olga: User, other_team: Team) -> None:
    """INV-15."""
    theirs = Upload.objects.create(team=other_team, filename="x", size=4)
    with nothing_changes(Upload):
        for method, body in (("GET", None), ("PUT", b"half"), ("DELETE", None)):
            first, second = (api(olga)(method, f"uploads/{one}/", body, **{"Upload-Offset": "0"}) for one in (theirs.pk, uuid4()))
            assert first.status_code == second.status_code == 404
            assert first.json() | {"request_id": ""} == second.json() | {"request_id": ""}
        assert api(olga).post("uploads/", {"filename": "g", "size": 8, "team": "elsewhere"}).status_code == 404


def test_a_full_disk_is_said_and_loses_nothing(api: ApiOf, olga: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-20."""
    client = api(olga)
    identifier = announce(client)
    put(client, identifier, 0, b"half")

    def full(*_: object) -> None:
        raise uploads.Unavailable("The panel can't store uploads now: No space left on device.")

    with monkeypatch.context() as patch, nothing_changes(Upload):
        patch.setattr(uploads, "_write", full)
        answer = put(client, identifier, 4, b"rest")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert put(client, identifier, 4, b"rest").json()["received"] == 8
