"""Root's worker believes no row: whoever can write the database still gets no other file, user, port or option (INV-11, INV-12, SEC-F2)."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from instances.imaging.base import ImagingError
from instances.models import Image, Instance
from instances.reconcile.converge import converge, keep_host_guard
from instances.reconcile.drivers import hypervisor
from instances.reconcile.images import converge_image
from instances.reconcile.machine import image_path
from instances.reconcile.sweep import sweep
from instances.states import Desired, Observed
from networks.reconcile.drivers import fabric
from opsweb.core.models import Host, Operation
from opsweb.environment import env
from tests.conftest import SentTasks

Make = Callable[..., Instance]


@pytest.fixture(autouse=True)
def _clean_host() -> Iterator[None]:
    yield
    for vm in hypervisor().list():
        hypervisor().erase(vm)


@pytest.fixture
def wanted(make_instance: Make, sent: SentTasks) -> Instance:
    """An instance that is to run, with the operation of its start."""
    instance = make_instance("web1", desired=Desired.RUNNING, observed=Observed.STOPPED)
    Operation.objects.create(kind="instance", target_id=instance.pk, target_label="web1", team=instance.team, verb="start")
    return instance


def forge(instance: Instance, column: str, value: Any) -> None:
    """Write past Django and past SQLite's own checks, as one who holds the file can."""
    if connection.vendor == "postgresql":
        pytest.skip("PostgreSQL refuses such a row itself, whoever writes it")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA ignore_check_constraints = 1")
        cursor.execute(f"UPDATE instances_instance SET {column} = %s WHERE id = %s", [value, instance.pk.hex])  # noqa: S608
        cursor.execute("PRAGMA ignore_check_constraints = 0")


@pytest.mark.parametrize("digest", ["../uploads/x", "/etc/shadow", "ab" * 32 + "/../x", "AB" * 32, "ab" * 31, "ab" * 32 + "\n", ""])
def test_a_digest_is_no_path(digest: str) -> None:
    """SEC-B4."""
    with pytest.raises(ImagingError):
        image_path(digest)


def test_an_image_with_a_forged_digest_is_neither_run_nor_erases_a_file(wanted: Instance, image: Image) -> None:
    """SEC-B4: `uploads/` is the web's own; what lies there is no image, and nothing is removed through a row."""
    stranger = env.state_dir / "uploads" / "x.cpio"
    stranger.parent.mkdir(parents=True, exist_ok=True)
    stranger.write_bytes(b"secret")
    Image.objects.filter(pk=image.pk).update(digest="../uploads/x")
    converge(wanted.pk)
    assert hypervisor().observe(wanted.pk).pid is None
    Instance.objects.all().delete()
    Image.objects.filter(pk=image.pk).update(is_wanted=False)
    converge_image(image.pk)
    assert stranger.read_bytes() == b"secret"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("uid_offset", 0),
        ("uid_offset", -env.uid_base),
        ("uid_offset", env.uid_count),
        ("uid_offset", env.network_offsets[0]),
        ("vcpus", "1,maxcpus=255"),
        ("vcpus", 100_000),
        ("memory_mib", "128M,slots=4"),
        ("memory_mib", 2**40),
        ("name", "-daemonize"),
        ("name", "a,b=c"),
        ("arch", "x86_64 -incoming"),
        ("hosts", '{"a b": "1.2.3.4"}'),
        ("nameservers", '["1.2.3.4\\nsearch evil"]'),
        ("args", '["a\\u0000b"]'),
        ("args", "[1, 2]"),
    ],
)
def test_a_forged_row_starts_nothing(wanted: Instance, column: str, value: Any) -> None:
    forge(wanted, column, value)
    converge(wanted.pk)
    assert hypervisor().observe(wanted.pk).pid is None
    assert Operation.objects.get().status == Operation.Status.FAILED


def test_a_forged_uid_does_not_take_the_others_rules_away(make_instance: Make, host: Host) -> None:
    make_instance("good", ports=((18_080, 80),), desired=Desired.RUNNING, observed=Observed.RUNNING)
    forge(make_instance("bad", desired=Desired.RUNNING, observed=Observed.RUNNING), "uid_offset", -5)
    keep_host_guard(host)
    assert f"meta skuid {{ {env.uid_base + 1} }}" in fabric()._rules.read_text()  # type: ignore[attr-defined]


def test_one_broken_row_stops_neither_the_sweep_nor_its_own_operation(wanted: Instance, image: Image, host: Host) -> None:
    """INV-02: what nobody thought of ends one operation with a sentence, and the others get their turn."""
    Image.objects.filter(pk=image.pk).update(facts={})
    later = Instance.objects.create(
        team=wanted.team,
        host=host,
        name="zz",
        uid_offset=9,
        desired=Desired.STOPPED,
        image=Image.objects.create(team=wanted.team, host=host, name="other", digest="cd" * 32),
    )
    sweep()
    operation = Operation.objects.get()
    assert (operation.status, operation.error_code) == (Operation.Status.FAILED, "internal")
    later.refresh_from_db()
    assert later.observed_at is not None


def test_a_forged_recipe_ends_its_build(image: Image, sent: SentTasks) -> None:
    """INV-02, INV-12."""
    Image.objects.filter(pk=image.pk).update(digest="", recipe={"program": "/x", "uid": 0, "output": "/etc/shadow"})
    Operation.objects.create(kind="image", target_id=image.pk, target_label="web", team=image.team, verb="build")
    converge_image(image.pk)
    image.refresh_from_db()
    assert (image.state, Operation.objects.get().error_code) == ("failed", "internal")
