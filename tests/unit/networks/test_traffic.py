"""networks.traffic: a rate is what two readings near each other say, and nothing where they say nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from networks.traffic import CURRENT, Rates, rates
from opsweb.core.templatetags.panel import frequency, rate

NOW = datetime(2026, 11, 26, 12, 0, 0, tzinfo=UTC)
COUNTS = {"in": [10, 3000], "out": [5, 1500], "dropped": [6, 60]}


def seconds_ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def before(seconds: float = 15, **columns: Any) -> dict[str, Any]:
    return {"at": seconds_ago(seconds).isoformat(), "in": [0, 0], "out": [0, 0], "dropped": [0, 0]} | columns


def test_two_readings_make_a_rate() -> None:
    assert rates(COUNTS, NOW, before(), read_at=NOW, now=NOW) == Rates(200, 100, 0.4)
    assert rates(COUNTS, seconds_ago(5), before(20, **{"in": [9, 2700]}), read_at=seconds_ago(5), now=NOW) == Rates(20, 100, 0.4)


def test_a_reading_that_changed_nothing_is_nothing() -> None:
    assert rates(COUNTS, seconds_ago(15), before(30), read_at=NOW, now=NOW) == Rates()
    assert rates(COUNTS, seconds_ago(15), {}, read_at=NOW, now=NOW) == Rates()


@pytest.mark.parametrize(
    "what",
    [
        {"counts": {}},
        {"counted_at": None},
        {"read_at": None},
        {"before": {}},
        {"before": before(**{"in": [0, 3001]})},  # began anew
        {"before": before(dropped=[7, 70])},
        {"before": before(0.5)},
        {"before": before(CURRENT.total_seconds() + 1)},  # nobody read in between
        {"now": NOW + CURRENT + timedelta(seconds=1)},  # nobody has read since
    ],
)
def test_a_gap_is_a_gap(what: dict[str, Any]) -> None:
    given = {"counts": COUNTS, "counted_at": NOW, "before": before(), "read_at": NOW, "now": NOW} | what
    assert rates(given["counts"], given["counted_at"], given["before"], read_at=given["read_at"], now=given["now"]) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B/s"),
        (0.2, "<1 B/s"),
        (999.4, "999 B/s"),
        (999.6, "1.0 KiB/s"),
        (1434, "1.4 KiB/s"),
        (23 * 1024**2, "23 MiB/s"),
        (5e12, "4656.6 GiB/s"),
    ],
)
def test_a_rate_is_said_no_more_exactly_than_it_is(value: float, text: str) -> None:
    assert rate(value) == text


def test_packets_a_second() -> None:
    assert [frequency(value) for value in (0, 0.4, 1.2, 120.6)] == ["0/s", "<1/s", "1/s", "121/s"]
