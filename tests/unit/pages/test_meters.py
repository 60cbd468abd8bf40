"""The quota's figures: short, with the unit said once."""

import pytest

from instances.context import Meter


@pytest.mark.parametrize(
    ("used", "limit", "text"),
    [
        (384, 16_384, "384 MiB of 16 GiB"),
        (1664, 16_384, "1.63 of 16 GiB"),  # 1.625, halves upwards
        (16_384, 16_384, "16 of 16 GiB"),
        (0, 512, "0 of 512 MiB"),
        (2048, 512, "2 GiB of 512 MiB"),
    ],
)
def test_memory(used: int, limit: int, text: str) -> None:
    assert Meter("memory_mib", "Memory", used, limit, "MiB").text == text


def test_what_has_no_unit() -> None:
    assert Meter("vcpus", "vCPUs", 3, 32).text == "3 of 32"
