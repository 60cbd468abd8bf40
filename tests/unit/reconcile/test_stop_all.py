"""`make down` ends what runs, and says in right words how many that were."""

import time
from io import StringIO
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command

from instances.management.commands import stop_all
from instances.models import Instance
from instances.reconcile.sweep import sweep
from instances.states import Observed
from opsweb.core.models import Host
from tests.conftest import SentTasks
from tests.unit.reconcile.conftest import Make

pytestmark = pytest.mark.usefixtures("clean_host", "host")


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the command waits, the worker converges, as the watcher's hints let it."""

    def wait(_: float) -> None:
        time.sleep(0.02)
        sweep()

    monkeypatch.setattr(stop_all, "time", SimpleNamespace(monotonic=time.monotonic, sleep=wait))


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("number", "told"),
    [
        (0, "No VM was running."),
        (1, "1 VM stopped; it comes back with `make up`."),
        (2, "2 VMs stopped; they come back with `make up`."),
    ],
)
def test_it_says_how_many_ended(make: Make, sent: SentTasks, number: int, told: str) -> None:
    for place in range(number):
        make(name=f"web{place}")
    sent.drain()
    assert Instance.objects.filter(observed=Observed.RUNNING).count() == number
    out = StringIO()
    call_command("stop_all", timeout=5, stdout=out)
    assert out.getvalue().strip() == told
    assert not Instance.objects.filter(observed=Observed.RUNNING).exists()
    assert Host.objects.get().is_draining


def test_without_a_worker_it_names_what_still_runs(make: Make, sent: SentTasks) -> None:
    make()
    sent.drain()
    with pytest.raises(CommandError, match="Still running: web1"):
        call_command("stop_all", timeout=0)
