"""What a NIC moves now: bytes and dropped packets a second between the last two readings of its counters. Pure.

A reading of the host that changes nothing of a NIC is not written into its row: `counted_at` before the host's own means "nothing moved".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

CURRENT = timedelta(seconds=90)  # the age, and the distance, at which readings say nothing of now any more
LEAST = timedelta(seconds=1)  # two readings nearer than that tell no rate


@dataclass(frozen=True)
class Rates:
    """A second. "in" is to the guest."""

    octets_in: float = 0.0
    octets_out: float = 0.0
    dropped: float = 0.0  # packets

    @property
    def octets(self) -> float:
        """Both ways."""
        return self.octets_in + self.octets_out

    def __add__(self, other: "Rates") -> "Rates":
        return Rates(self.octets_in + other.octets_in, self.octets_out + other.octets_out, self.dropped + other.dropped)


def rates(
    counts: Mapping[str, Sequence[int]],
    counted_at: datetime | None,
    before: Mapping[str, Any],
    *,
    read_at: datetime | None,
    now: datetime,
) -> Rates | None:
    """None where it is not known: no two readings near each other, none of late, or counters that began anew in between.

    `counts` were new at `counted_at`; `before` is the reading before that, {"at": ISO time, "in": [packets, bytes], …}; `read_at` is when
    the host was read last.
    """
    if not counts or counted_at is None or read_at is None or now - read_at > CURRENT:
        return None
    if counted_at < read_at:
        return Rates()
    if not before:
        return None
    seconds = _seconds(datetime.fromisoformat(before["at"]), counted_at)
    grown = [counts[name][place] - before[name][place] for name, place in (("in", 1), ("out", 1), ("dropped", 0))]
    return Rates(*(number / seconds for number in grown)) if seconds and min(grown) >= 0 else None


def _seconds(first: datetime, last: datetime) -> float:
    """0 where they are too near or too far."""
    return (last - first).total_seconds() if LEAST <= last - first <= CURRENT else 0.0
