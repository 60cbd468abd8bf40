"""Which change of NICs reaches a running VM: each kind of difference, as people read it."""

from typing import Any

import pytest

from instances.hotplug import LEASED, LIVE, OF_THE_BOOT, ORDER, RESTART, TOLD, Entry, Mark, changes, marks, with_nic


def nic(tag: str, **values: Any) -> Entry:
    return {"tag": tag, "mac": f"mac of {tag}", "network": "br0", "fixed": False, "address4": f"address of {tag}"} | values


A, B, C, USER = nic("a"), nic("b"), nic("c"), nic("u", network="")


@pytest.mark.parametrize(
    ("there", "wanted", "expected"),
    [
        ([A, B], [A, B], {}),
        ([], [], {}),
        ([A], [A, B], {"b": Mark(LIVE)}),
        ([A, B], [A], {"b": Mark(LIVE)}),
        ([A, B], [A, C], {"b": Mark(LIVE), "c": Mark(LIVE)}),
        ([A], [B], {"a": Mark(RESTART, OF_THE_BOOT), "b": Mark(RESTART, OF_THE_BOOT)}),
        ([], [A], {"a": Mark(RESTART, OF_THE_BOOT)}),
        ([A], [], {"a": Mark(RESTART, OF_THE_BOOT)}),
        ([A], [A, USER], {"u": Mark(RESTART, OF_THE_BOOT)}),
        ([A, USER], [A], {"u": Mark(RESTART, OF_THE_BOOT)}),
        ([A, USER], [A, USER | {"network": "br0"}], {"u": Mark(RESTART, OF_THE_BOOT)}),
        ([A, B], [A, B | {"address4": "other"}], {"b": Mark(RESTART, LEASED)}),
        ([A, B], [A, B | {"address4": "other", "fixed": True}], {"b": Mark(RESTART, TOLD)}),
        ([A, B, C], [A, C, B], {"": Mark(RESTART, ORDER)}),
    ],
)
def test_what_stands_beside_each(there: list[Entry], wanted: list[Entry], expected: dict[str, Mark]) -> None:
    assert marks(there, wanted, {}) == expected


def test_a_note_says_why_it_waits() -> None:
    assert marks([A, B], [A, C], {"b": "The guest keeps it."}) == {"b": Mark(RESTART, "The guest keeps it."), "c": Mark(LIVE)}


def test_each_step_leads_to_what_is_wanted() -> None:
    there, wanted = [A, B], [A, C, nic("d")]
    plan = changes(there, wanted)
    there = [entry for entry in there if entry not in plan.leaving]
    for entry in plan.coming:
        there = with_nic(there, entry, wanted)
    assert there == wanted
