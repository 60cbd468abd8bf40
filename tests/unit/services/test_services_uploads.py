"""Uploads: never longer than announced, never two writers at one place, gone when nobody comes back (SEC-A8, SEC-B3)."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from instances.models import Image, Upload
from instances.services import uploads
from opsweb.core.access import SYSTEM
from opsweb.core.errors import Conflict, NotFound, Refusal, Unavailable
from opsweb.core.models import Host
from opsweb.teams.models import Team
from tests.conftest import SentTasks


def stored(upload: Upload) -> bytes:
    return uploads.path_of(upload.pk).read_bytes()


def test_of_two_writers_at_one_place_one_wins_whole(file_database: None, at_once: Callable[[Any], list[Any]]) -> None:
    """A browser that sends again while the first try is still on its way."""
    upload = uploads.begin(Team.objects.create(name="race"), "g", 100_000, actor=SYSTEM)
    chunks = [bytes([65 + number]) * 100_000 for number in range(8)]
    results = at_once(partial(uploads.append, Upload.objects.get(), 0, chunk, actor=SYSTEM) for chunk in chunks)
    winners = [number for number, result in enumerate(results) if not isinstance(result, Refusal)]
    assert len(winners) == 1
    assert stored(upload) == chunks[winners[0]]
    assert {result.code for result in results if isinstance(result, Refusal)} == {"upload_offset"}


def test_an_older_offset_writes_nothing(team: Team) -> None:
    upload = uploads.begin(team, "g", 8, actor=SYSTEM)
    stale = Upload.objects.get()
    uploads.append(upload, 0, b"half", actor=SYSTEM)
    with pytest.raises(Conflict) as refusal:
        uploads.append(stale, 0, b"HALF", actor=SYSTEM)
    assert refusal.value.fields == {"received": [4]}
    assert stored(upload) == b"half"


def test_a_chunk_of_a_cancelled_one_leaves_no_file(team: Team, sent: SentTasks) -> None:
    upload = uploads.begin(team, "g", 8, actor=SYSTEM)
    stale = Upload.objects.get()
    uploads.cancel(upload, actor=SYSTEM)
    with pytest.raises(NotFound):
        uploads.append(stale, 0, b"half", actor=SYSTEM)
    assert not uploads.path_of(stale.pk).exists()


def test_a_link_in_its_place_is_not_followed(team: Team, tmp_path: Any) -> None:
    """SEC-A8, SEC-C1."""
    upload = uploads.begin(team, "g", 4, actor=SYSTEM)
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    uploads.path_of(upload.pk).symlink_to(victim)
    with pytest.raises(Unavailable):
        uploads.append(upload, 0, b"EVIL", actor=SYSTEM)
    assert victim.read_bytes() == b"mine"


def test_a_full_disk_is_said_and_the_rest_can_come_later(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-20."""
    upload = uploads.begin(team, "g", 8, actor=SYSTEM)
    monkeypatch.setattr(uploads, "path_of", lambda _: uploads.Path("/dev/full"))
    with pytest.raises(Unavailable, match="No space left"):
        uploads.append(upload, 0, b"half", actor=SYSTEM)
    assert Upload.objects.get().received == 0


def test_others_can_not_read_what_is_stored(team: Team) -> None:
    upload = uploads.begin(team, "g", 4, actor=SYSTEM)
    uploads.append(upload, 0, b"half", actor=SYSTEM)
    assert not uploads.path_of(upload.pk).stat().st_mode & 0o007


def test_what_nobody_came_back_for_goes(team: Team, host: Host, sent: SentTasks) -> None:
    old, fresh, needed = (uploads.begin(team, name, 4, actor=SYSTEM) for name in ("old", "fresh", "needed"))
    uploads.append(old, 0, b"half", actor=SYSTEM)
    Image.objects.create(team=team, host=host, name="web", program_upload=needed)
    Upload.objects.exclude(pk=fresh.pk).update(created_at=timezone.now() - uploads.KEPT_FOR - timedelta(minutes=1))
    assert uploads.discard_stale() == 1
    assert set(Upload.objects.values_list("filename", flat=True)) == {"fresh", "needed"}
    assert not uploads.path_of(old.pk).exists()
