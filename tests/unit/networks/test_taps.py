"""On which descriptors a deleted tap may be made anew."""

import os
from collections.abc import Callable

import pytest

from networks.fabric import taps
from networks.fabric.base import FabricError
from tests.unit.networks.test_network_values import BOB, PLAN


@pytest.mark.parametrize("opened", [lambda: (), lambda: (os.open(os.devnull, os.O_RDWR),), lambda: os.pipe()])
def test_inv_07_what_is_no_tap_is_refused(opened: Callable[[], tuple[int, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is touched."""
    monkeypatch.setattr(taps, "unplug", lambda tap: pytest.fail("touched"))
    descriptors = opened()
    with pytest.raises(FabricError) as refused:
        taps.replug(PLAN, BOB, descriptors)
    assert refused.value.code == "not_plugged"
    for descriptor in descriptors:
        os.close(descriptor)
