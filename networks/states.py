"""What a network can be and be wanted to be, and how that is called. Pure."""

from enum import StrEnum


class Desired(StrEnum):
    """What people want."""

    PRESENT = "present"
    ABSENT = "absent"


class Observed(StrEnum):
    """What the last pass found, or made."""

    UNKNOWN = "unknown"
    UP = "up"
    FAILED = "failed"  # `message` of the row says why; the next pass tries again


LABELS: dict[Observed, tuple[str, str]] = {  # state → (label, tone)
    Observed.UNKNOWN: ("Not seen yet", "stop"),
    Observed.UP: ("Up", "run"),
    Observed.FAILED: ("Failed", "bad"),
}

DOING = {"create": "Creating…", "edit": "Applying…", "repair": "Repairing…", "delete": "Deleting…"}  # a verb → its transition's text

# What each mode means, in one sentence; the form's cards and the page's chip say the same.
MODES: dict[str, str] = {
    "nat": "Instances reach the outside under the host's address. From outside only what you forward comes in.",
    "isolated": "Instances reach each other and nothing else. Nothing comes in, nothing goes out.",
    "uplink": "A network adapter of the host joins the bridge: instances stand in the network that it leads to.",
}
