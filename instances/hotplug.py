"""What of an edit of NICs reaches a running VM, and what waits for its next start. Pure; read by models, reconciler and pages.

Only a NIC on a network comes and goes while the VM runs, and never the first one: its addresses, names and forwards are the boot's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Entry = dict[str, Any]  # of a NIC, as in Instance.boot_values

LIVE, RESTART = "live", "restart to apply"
TOLD = "The guest was told its address when it started."
LEASED = "The guest gets its new address when it renews its lease, or at a restart."
OF_THE_BOOT = "The first NIC, and one in user mode, change at a start only."
ORDER = "The guest has them in another order until it starts again."


@dataclass(frozen=True)
class Changes:
    """NICs that the VM is to let go of, then those that it is to get."""

    leaving: Sequence[Entry]
    coming: Sequence[Entry]


def changes(there: Sequence[Entry], wanted: Sequence[Entry]) -> Changes:
    """From what the VM has to what is wanted of it, as far as that goes while it runs."""
    has, wants = _tags(there), _tags(wanted)
    return Changes(
        [nic for nic in there[1:] if nic["network"] and nic["tag"] not in wants],
        [nic for nic in wanted[1:] if nic["network"] and nic["tag"] not in has],
    )


def with_nic(there: Sequence[Entry], nic: Entry, wanted: Sequence[Entry]) -> list[Entry]:
    """What the VM has once it has `nic`, in the order that is wanted."""
    before = _tags(wanted[: wanted.index(nic)])
    at = max((place + 1 for place, other in enumerate(there) if other["tag"] in before), default=len(there))
    return [*there[:at], nic, *there[at:]]


@dataclass(frozen=True)
class Mark:
    """What stands beside a NIC that the running VM has otherwise, or not at all."""

    label: str  # LIVE: it is on its way; or RESTART
    reason: str = ""


def marks(there: Sequence[Entry], wanted: Sequence[Entry], notes: Mapping[str, str]) -> dict[str, Mark]:
    """Tag of a NIC → its mark; of those that are wanted no more, too. `notes`: tag → why it could not be done. {}: nothing differs."""
    found = dict(_marks(there, wanted, notes))
    return found if found or there == wanted else {"": Mark(RESTART, ORDER)}


def _marks(there: Sequence[Entry], wanted: Sequence[Entry], notes: Mapping[str, str]) -> Iterator[tuple[str, Mark]]:
    plan, has, wants = changes(there, wanted), {nic["tag"]: nic for nic in there}, _tags(wanted)
    for nic in (*plan.leaving, *plan.coming):
        yield nic["tag"], Mark(RESTART, notes[nic["tag"]]) if nic["tag"] in notes else Mark(LIVE)
    done = _tags((*plan.leaving, *plan.coming))
    for nic in wanted:
        if nic not in there and nic["tag"] not in done:
            yield nic["tag"], Mark(RESTART, _why(has.get(nic["tag"]), nic))
    for nic in there:
        if nic["tag"] not in wants | done:
            yield nic["tag"], Mark(RESTART, OF_THE_BOOT)


def _why(before: Entry | None, nic: Entry) -> str:
    if before is None or not nic["network"] or before["network"] != nic["network"]:
        return OF_THE_BOOT
    return TOLD if before["fixed"] or nic["fixed"] else LEASED


def _tags(nics: Sequence[Entry]) -> set[str]:
    return {nic["tag"] for nic in nics}
