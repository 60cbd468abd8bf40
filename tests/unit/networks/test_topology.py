"""What is drawn and listed of a network: topology, strip, table of addresses. Rows without a database where none is needed."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from instances.states import LABELS
from networks.models import Network, Nic
from networks.shown import STRANGER
from networks.views.addresses import CELLS, Holder, holders, strange_leases, strip
from networks.views.present import INSTANCE_STATES
from networks.views.topology import MOST, topology
from opsweb.core.access import Actor, Role
from opsweb.core.models import Host

OURS, THEIRS = 1, 2
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
OLGA = Actor(user_id=1, name="olga", roles={OURS: Role.OPERATOR})


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("networks.views.addresses.timezone.now", lambda: NOW)


def network(**columns: Any) -> Network:
    """A row that was never saved."""
    return Network(**{"name": "lan", "cidr4": "192.168.33.0/24", "gateway4": "192.168.33.1", "host": Host(counted_at=NOW)} | columns)


def nic(number: int, *, team: int = OURS, observed: str = "running", name: str = "", **columns: Any) -> Any:
    """As much of a NIC as the pages read."""
    instance = SimpleNamespace(pk=uuid4(), name=name or f"vm-{number}", team_id=team, observed=observed)
    values = {
        "name": "tap0",
        "mac": f"02:00:00:00:00:{number:02x}",
        "address4": f"192.168.33.{number}",
        "address6": None,
        "is_fixed": False,
    }
    return SimpleNamespace(pk=uuid4(), instance=instance, **values | {"counts": {}, "counted_at": None, "counted_before": {}} | columns)


def moving(octets_in: int, octets_out: int, dropped: int = 0) -> dict[str, Any]:
    """What a NIC counted in the last ten seconds."""
    before = {"at": (NOW - timedelta(seconds=10)).isoformat(), "in": [0, 0], "out": [0, 0], "dropped": [0, 0]}
    return {
        "counts": {"in": [9, octets_in], "out": [9, octets_out], "dropped": [dropped, 60]},
        "counted_at": NOW,
        "counted_before": before,
    }


def found(some: list[Any], of: Network | None = None) -> list[Holder]:
    """As olga sees them."""
    return holders(of or network(), some, OLGA)


def test_states_of_instances_are_called_as_their_own_pages_call_them() -> None:
    said = {state.value: (label.lower(), tone) for state, (label, tone) in LABELS.items()}
    assert said == INSTANCE_STATES


def test_holders_come_in_the_order_of_their_addresses() -> None:
    assert [holder.short4 for holder in found([nic(20), nic(3), nic(101)])] == [".3", ".20", ".101"]


def test_an_instance_of_another_team_has_no_name_and_no_link() -> None:
    """INV-15: a shared network tells that an address is taken, not by whom."""
    (holder,) = found([nic(3, team=THEIRS, name="their-secret")])
    assert (holder.name, holder.instance_id) == (STRANGER, None)
    drawn = topology(network(), [holder])
    assert "their-secret" not in repr(drawn)


def test_a_lease_belongs_to_the_nic_with_its_address() -> None:
    of = network(
        leases=[{"address": "192.168.33.3", "mac": "02:00:00:00:00:03", "name": "vm-3", "expires_at": "2026-11-26T12:00:00+00:00"}]
    )
    one, other = found([nic(3), nic(4)], of)
    assert (one.expires_at.hour if one.expires_at else None, other.lease) == (12, None)


def test_a_lease_that_never_ends_is_a_lease() -> None:
    of = network(leases=[{"address": "192.168.33.3", "mac": "02:00:00:00:00:03", "name": "vm-3", "expires_at": None}])
    (holder,) = found([nic(3)], of)
    assert (holder.lease, holder.expires_at) == ("", None)


def test_a_lease_of_nobody_is_told() -> None:
    of = network(leases=[{"address": "192.168.33.9", "mac": "02:00:00:00:00:09", "name": "gone", "expires_at": None}])
    assert [lease["name"] for lease in strange_leases(of, found([nic(3)], of))] == ["gone"]


def test_the_strip_has_a_cell_for_each_address_of_a_small_subnet() -> None:
    of = network(
        cidr4="192.168.33.0/28", records={"db": "192.168.33.14", "six": "fd00::1", "away": "10.0.0.1"},
        leases=[{"address": "192.168.33.3", "mac": "02:00:00:00:00:03", "name": "", "expires_at": None}],
    )  # fmt: skip
    drawn = strip(of, found([nic(3), nic(4)], of))
    tones = [cell.tone for cell in drawn.cells]
    assert tones == ["edge", "host", "free", "leased", "reserved", *["free"] * 9, "record", "edge"]
    assert (drawn.reserved, drawn.leased, drawn.free) == (2, 1, 10)


@pytest.mark.parametrize(("cidr4", "per_cell"), [("10.0.0.0/8", 65_536), ("10.0.0.0/22", 4), ("10.0.0.0/24", 1)])
def test_the_strip_of_any_subnet_has_as_many_cells(cidr4: str, per_cell: int) -> None:
    drawn = strip(network(cidr4=cidr4, gateway4="10.0.0.1"), found([nic(3, address4="10.0.0.3")]))
    assert (len(drawn.cells), drawn.per_cell, drawn.cells[0].tone) == (CELLS, per_cell, "reserved" if per_cell > 1 else "edge")


def test_each_nic_hangs_at_its_tap() -> None:
    drawn = topology(network(), found([nic(3), nic(4, observed="stopped", name="etl")]))
    assert [(leaf.title, leaf.tap, leaf.tone, leaf.edge) for leaf in drawn.leaves] == [
        ("vm-3", "tap0", "run", "idle"),
        ("etl", "tap0", "stop", "idle"),
    ]


def test_a_line_carries_what_moves_and_is_red_where_packets_are_dropped() -> None:
    first, second = topology(network(), found([nic(3, **moving(2_000_000, 10_240)), nic(4, **moving(0, 0, 1))])).leaves
    assert (first.edge, first.line) == ("flow", ".3 · ↓195 KiB/s ↑1.0 KiB/s")
    assert (second.edge, second.note) == ("drop", "1 dropped, <1/s now")
    assert first.width > second.width


def test_what_was_dropped_before_is_said_and_the_line_is_red_no_more() -> None:
    past = nic(3, counts={"in": [1, 60], "out": [0, 0], "dropped": [2, 120]}, counted_at=NOW - timedelta(seconds=15))
    (leaf,) = topology(network(), found([past])).leaves
    assert (leaf.edge, leaf.note, leaf.line) == ("idle", "2 packets dropped", ".3 · ↓0 B/s ↑0 B/s")


def test_of_what_nobody_reads_no_rate_is_shown() -> None:
    of = network(host=Host(counted_at=NOW - timedelta(minutes=10)))
    (leaf,) = topology(of, found([nic(3, **moving(2_000_000, 10_240))], of)).leaves
    assert (leaf.edge, leaf.line) == ("idle", ".3 · running")


def test_boxes_do_not_touch() -> None:
    drawn = topology(network(), found([nic(number) for number in range(2, 2 + MOST)]))
    heights = [leaf.y for leaf in drawn.leaves]
    assert all(later - earlier >= 60 for earlier, later in zip(heights, heights[1:], strict=False))
    assert heights[-1] + 24 <= drawn.height
    assert drawn.leaves[-1].tree_y + 26 <= drawn.tree_height


def test_far_too_many_hang_in_bundles_and_none_is_lost() -> None:
    """50 NICs and more: what drops stays in view."""
    many = [nic(number, observed="running" if number % 2 else "stopped") for number in range(2, 200)]
    many[150].counts = {"dropped": [7, 420]}
    drawn = topology(network(), found(many))
    assert len(drawn.leaves) <= MOST
    assert "7 packets dropped" in [leaf.note for leaf in drawn.leaves]
    bundled = sum(int(leaf.title.split()[0]) for leaf in drawn.leaves if not leaf.tap)
    assert bundled + sum(bool(leaf.tap) for leaf in drawn.leaves) == len(many)


def test_an_isolated_network_shows_no_way_out() -> None:
    assert (topology(network(mode="isolated"), []).outside, topology(network(mode="isolated"), []).edge) == ("no way out", "idle")
    assert topology(network(mode="uplink", adapter="eth1"), []).outside == "eth1"


def test_a_long_name_is_clipped_in_its_box() -> None:
    (leaf,) = topology(network(), found([nic(3, name="a" * 40)])).leaves
    assert len(leaf.title) < 30
    assert Nic.name.field.max_length >= len(leaf.tap)
