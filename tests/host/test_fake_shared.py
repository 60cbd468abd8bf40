"""The fake host is its panel's, not the user's who touched it first: root (a worker in a container, a command) and the parts share it."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from networks.fabric.fake import FakeFabric
from opsweb.launch.accounts import Account, call_as
from tests.unit.networks.plans import NAT, PLAIN, TAG

pytestmark = pytest.mark.host

GROUP = 910_777
PARTS = Account("parts", 910_776, GROUP, "/nonexistent")
STRANGER = Account("stranger", 910_775, 910_775, "/nonexistent")
PLAN = replace(NAT, nics=(PLAIN,), linked=())


@pytest.fixture
def fabric() -> Iterator[FakeFabric]:
    """In a run directory as `make up` gives it to the worker's user, with the worker's umask."""
    umask = os.umask(0o027)
    with TemporaryDirectory(prefix="ow") as run:  # pytest's own directories are closed to the parts
        Path(run).chmod(0o755)
        os.chown(run, PARTS.uid, GROUP)
        yield FakeFabric(TAG, Path(run), group=GROUP)
    os.umask(umask)


def acts(fabric: FakeFabric) -> Callable[[], str]:
    """All that a worker does, with what it finds."""

    def act() -> str:
        with fabric.lock("filter"):
            fabric.apply_network(PLAN)
            fabric.apply_filter([PLAN])
        for fd in fabric.plug(PLAN, PLAIN):
            os.close(fd)
        watched = list(fabric.lease_directory(PLAN.id).iterdir())
        return f"{fabric.drift(PLAN)} {fabric.filter_holds([PLAN])} {fabric.taps()} {len(fabric.leases(PLAN.id))} {len(watched)}"

    return act


DONE = f"() True ('{PLAIN.tap}',) 1 1"


def test_root_and_the_parts_share_it_whoever_came_first(fabric: FakeFabric) -> None:
    assert acts(fabric)() == DONE  # root, before the parts
    assert call_as(PARTS, acts(fabric)) == DONE
    fabric.remove_network(PLAN.id, PLAN.bridge)
    assert call_as(PARTS, acts(fabric)) == DONE
    assert acts(fabric)() == DONE
    call_as(PARTS, lambda: str(fabric.remove_all()))
    assert fabric.networks() == ()


def test_it_is_nobody_elses(fabric: FakeFabric) -> None:
    acts(fabric)()
    with pytest.raises(Exception, match="Permission denied"):
        call_as(STRANGER, acts(fabric))
