"""What one request, one row and one team may pile up is bounded, also where each piece is small (INV-16, SEC-B3)."""

from collections import namedtuple
from typing import Any

import pytest

from instances.models import Instance, Upload
from instances.services import capacity, images, uploads
from instances.services.texts import MAX_HOSTS, MAX_NAMESERVERS, MAX_TEXT, check_hosts, check_texts
from opsweb.core.access import SYSTEM
from opsweb.core.errors import Conflict, Invalid
from opsweb.core.models import Host
from opsweb.teams.models import Team

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    "columns",
    [
        {"args": [""] * (MAX_TEXT + 1)},
        {"args": ["a"] * (MAX_TEXT // 2 + 1)},
        {"env": {f"V{n}": "" for n in range(MAX_TEXT // 5)}},
        {"secret_env": [""] * (MAX_TEXT + 1)},
        {"secret_env": ["x" * MAX_TEXT]},
        {"secret_env": [7]},
    ],
    ids=lambda columns: next(iter(columns)),
)
def test_many_small_texts_are_a_large_one(columns: dict[str, Any]) -> None:
    """Three million empty arguments fit a request of 9 MiB, and would come along with every list ever after."""
    with pytest.raises(Invalid):
        check_texts(Instance(**columns))


@pytest.mark.parametrize(
    "columns",
    [
        {"hosts": {f"h{n}": "10.0.2.2" for n in range(MAX_HOSTS + 1)}},
        {"nameservers": ["10.0.2.3"] * (MAX_NAMESERVERS + 1)},
    ],
    ids=lambda columns: next(iter(columns)),
)
def test_names_and_servers_are_counted(columns: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        check_hosts(Instance(**columns))


@pytest.mark.parametrize(("number", "size"), [(7, 1024**3), (uploads.MAX_WAITING, 1)])
def test_a_team_hoards_a_bounded_number_of_uploads(team: Team, other_team: Team, number: int, size: int) -> None:
    """Each is kept for a day: without a bound the disk is anybody's to fill."""
    Upload.objects.bulk_create(Upload(team=team, filename="g", size=size) for _ in range(number))
    with pytest.raises(Conflict) as refusal:
        uploads.begin(team, "g", uploads.MAX_WAITING_SIZE - number * size + 1 if size > 1 else 1, actor=SYSTEM)
    assert refusal.value.code == "quota"
    assert uploads.begin(other_team, "g", 1, actor=SYSTEM).pk


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity.shutil, "disk_usage", lambda path: Usage(10**12, 10**12, capacity.DISK_RESERVE))


def test_a_full_disk_takes_no_upload(full_disk: None, team: Team) -> None:
    """INV-20: said before the first byte, and nothing half-made stays."""
    with pytest.raises(Conflict) as refusal:
        uploads.begin(team, "g", 1, actor=SYSTEM)
    assert (refusal.value.code, Upload.objects.count()) == ("no_room", 0)


def test_a_full_disk_takes_no_image(full_disk: None, team: Team, host: Host, upload: Upload) -> None:
    with pytest.raises(Conflict) as refusal:
        images.create(team, "web", actor=SYSTEM, program=upload, files=None)
    assert refusal.value.code == "no_room"
