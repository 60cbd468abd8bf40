"""T1: a worker that is killed, or meets an error, at any point of start and delete: the next pass goes on and leaves nothing behind."""

import subprocess
from typing import Any

import pytest

from tests.host.scratch import scratch_panel

pytestmark = [pytest.mark.host, pytest.mark.timeout(600)]
SAMPLES = 24


@pytest.mark.parametrize("how", ["kill", "fail"])
@pytest.mark.parametrize("when", ["attach", "detach"])
def test_t1_a_nic_that_comes_or_goes_while_its_guest_runs(how: str, when: str) -> None:
    """INV-01, INV-02, INV-03, INV-05: whether it is wanted still or no more; the guest runs on, and host and QEMU are as before it came."""
    before = rules()
    with scratch_panel() as scratch:
        result: dict[str, Any] = scratch.script("interrupted_nics", how, when, str(SAMPLES), seconds=500)
    assert result["calls"] > SAMPLES
    assert len(result["tries"]) == SAMPLES
    for attempt in result["tries"]:
        assert attempt["nics"] == (2 if (when == "attach") != attempt["taken_back"] else 1), attempt
        assert attempt["macs"] == 2 * attempt["macs"][: attempt["nics"]], attempt
        assert not attempt["differs"], attempt["differs"]
        assert attempt["boot"] == result["boot"], attempt
    assert rules() == before


def rules() -> str:
    """The host's firewall without its counters, and its links."""
    commands = (["nft", "--stateless", "list", "ruleset"], ["ip", "-o", "link"])
    return "".join(subprocess.run(command, capture_output=True, text=True, check=True).stdout for command in commands)


@pytest.mark.parametrize("where", ["user mode", "bridged"])
@pytest.mark.parametrize("how", ["kill", "fail"])
@pytest.mark.parametrize("when", ["start", "delete"])
def test_the_next_pass_goes_on(how: str, when: str, where: str) -> None:
    """INV-02, INV-03, INV-05, INV-06: no matter where it stopped; of taps there are as many as of running VMs' NICs."""
    before = rules()
    with scratch_panel() as scratch:
        words = [how, when, str(SAMPLES), *(["bridged"] if where == "bridged" else [])]
        result: dict[str, Any] = scratch.script("interrupted", *words, seconds=500)
    assert result["calls"] > SAMPLES
    assert len(result["tries"]) == SAMPLES
    for attempt in result["tries"]:
        if not (how == "fail" and when == "start"):  # a start that failed is told to the person, not tried behind their back
            assert (attempt["went_on"], attempt["observed"], attempt["processes"]) == (True, "running", 1), attempt
        assert attempt["processes"] <= 1, attempt
        assert attempt["taps"] == (attempt["processes"] if where == "bridged" else 0), attempt
        gone = (attempt["rows"], attempt["active"], attempt["processes_after"], attempt["left_over"])
        assert gone == (0, 0, 0, []), attempt
    assert rules() == before
