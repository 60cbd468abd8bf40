"""Real guests on a real bridge: they reach each other and the outside, and what is made for them goes with them."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.contract.hypervisors import until
from tests.host.conftest import PROGRAMS
from tests.host.outside import PAGE, the_outside
from tests.host.scratch import scratch_panel
from tests.namespaces import in_own_namespace

pytestmark = [pytest.mark.host, pytest.mark.timeout(600)]
OUTSIDE = "outside.example"


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that greets and asks, without any library."""
    place = tmp_path_factory.mktemp("peer")
    (place / "main.go").write_text((PROGRAMS / "peer.go").read_text())
    environment = {**os.environ, "GO111MODULE": "off", "CGO_ENABLED": "0", "PATH": "/usr/lib/go/bin:/usr/bin:/bin", "HOME": str(place)}
    subprocess.run(["go", "build", "-o", "peer"], cwd=place, env=environment, check=True, timeout=240)
    return place / "peer"


def said(command: str) -> str:
    """What a command prints."""
    return subprocess.run(command.split(), capture_output=True, text=True, check=True).stdout


def host_snapshot() -> list[str]:
    """Links, addresses, routes and rules, without counters and times."""
    commands = ("ip -o link", "ip -o addr", "ip route show table all", "ip -6 route show table all", "nft --stateless list ruleset")
    return [said(command) for command in commands]


def test_guests_reach_each_other_and_the_outside(peer: Path) -> None:
    """One with a fixed address, one by DHCP: by address and name, in both families, through NAT; INV-02: a deleted tap comes back."""
    in_own_namespace()
    with the_outside(OUTSIDE):
        until(lambda: "fe80" in said("ip -6 addr show dev outside0 -tentative"))
        before = host_snapshot()
        with scratch_panel() as scratch:
            seen: dict[str, Any] = scratch.script("bridged", "talk", str(peer), OUTSIDE, seconds=500)
        assert host_snapshot() == before, "INV-04, INV-22: as it was found"
    assert seen["alice"] == ["bob:8081: hello from bob", f"{OUTSIDE}:8080: {PAGE}"]
    greeted = ["192.168.33.19:8081", "[fd00:33::13]:8081", "alice.br0.internal:8081", "alice:8081"]
    assert seen["bob"] == [*(f"{target}: hello from alice" for target in greeted), f"{OUTSIDE}:8080: {PAGE}"]
    assert seen["bobs"] == ["192.168.33.2", "fd00:33::2"]
    assert seen["host"] == ["hello from bob", "hello from bob", "hello from alice"]
    assert len(seen["taps"]) == 2
    assert seen["taps_again"] == seen["taps"]
    assert seen["host_again"] == ["hello from bob", "hello from alice"]
    assert [entry for entry in seen["drift"] if entry[0].startswith("tap ")][0][1:] == ["was gone", True]
    assert seen["taps_after"] == []
    assert seen["leases"] == ["192.168.33.2"]


def test_a_nic_comes_and_goes_while_its_guest_runs(peer: Path) -> None:
    """It has its reserved addresses of both families and answers there. INV-03, T5: twenty rounds leave nothing; without room it waits."""
    in_own_namespace()
    with scratch_panel() as scratch:
        seen: dict[str, Any] = scratch.script("bridged", "hotplug", str(peer), "20", seconds=500)
    assert seen["applied"]
    assert seen["carol"] == [f"{at}:8081: hello from alice" for at in ("192.168.34.77", "[fd00:34::4d]", "alice")]
    assert seen["host"] == ["hello from alice"] * 2
    assert (seen["deleted"], seen["mended"], seen["again"]) == (2, 3, seen["host"]), "INV-02: a stranger deletes its tap"
    assert (seen["most"], seen["after"]) == (3, seen["before"])
    assert [reason[:15] for reason in seen["waits"]] == ["No port is free"]
    assert all(seen["ports"])
    assert (len(set(seen["boots"])), seen["message"]) == (1, "")


def test_a_hundred_rounds_of_plugging_leave_nothing() -> None:
    """T5, INV-03: no descriptor and no link, whether a start went well or failed."""
    in_own_namespace()
    with scratch_panel() as scratch:
        seen: dict[str, Any] = scratch.script("bridged", "rounds", "100")
    assert seen["first"] == seen["last"] == seen["most"]
    assert (seen["last"][1], seen["taps"]) == (0, [])
