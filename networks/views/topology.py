"""Where everything of a network hangs, as boxes and lines: outside, bridge, taps, instances. Pure; templates/networks draw it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log10
from uuid import UUID

from networks.models import Network
from networks.traffic import Rates
from networks.views.addresses import Holder
from opsweb.core.templatetags.panel import frequency, rate

MOST = 12  # NICs drawn one by one; the rest hangs in bundles, by state
SINGLE = 9  # of them, where there are bundles too
LONGEST, TAP_LONGEST = 23, 9  # characters of a name in its box
PITCH = 62  # px: from one row to the next; a box is 48 high
AT_REST = 1.5  # px: a line without traffic
TREE_TOP, TREE_PITCH = 144, 64  # px: where the rows of the narrow drawing begin
BEND = 10  # px: its trunk ends where the last branch bends off

OUTSIDE: dict[str, tuple[str, str]] = {  # mode → (title, what the line to it says)
    "nat": ("outside", "masquerade"),
    "isolated": ("no way out", "nothing passes"),
    "uplink": ("uplink", "bridged"),
}


@dataclass(frozen=True)
class Leaf:
    """An instance at its tap, or a bundle of several; `y` is the middle of its row."""

    title: str
    line: str
    tone: str  # of the dot
    edge: str  # "flow", "drop", "wait", "idle"
    width: float  # px of the line
    y: int
    tree_y: int
    tap: str = ""
    note: str = ""
    instance_id: UUID | None = None
    nic_id: UUID | None = None

    @property
    def tap_short(self) -> str:
        """As much of the NIC's name as its pill has room for."""
        return self.tap if len(self.tap) <= TAP_LONGEST else self.tap[: TAP_LONGEST - 1] + "…"


@dataclass(frozen=True)
class Topology:
    """A drawing of one network."""

    title: str
    outside: str
    way: str
    bridge_line: str
    edge: str
    width: float
    leaves: tuple[Leaf, ...]
    height: int = 0
    tree_height: int = 0
    middle: int = 0
    trunk_end: int = 0  # of the narrow drawing
    words: tuple[str, ...] = field(default=())  # for those who do not see it


def topology(network: Network, found: Sequence[Holder]) -> Topology:
    """Lay the network out. What drops packets or moves most comes first into view; far too many hang in bundles."""
    singles, bundles = _sorted_out(found)
    rows = [_leaf(holder, number) for number, holder in enumerate(singles)]
    rows += [_bundle(name, some, len(rows) + number) for number, (name, some) in enumerate(bundles)]
    height = max(PITCH * len(rows), 200) + 24
    shift = (height - PITCH * len(rows)) // 2
    leaves = tuple(_moved(leaf, shift) for leaf in rows)
    moves = _sum(found)
    title, way = OUTSIDE[network.mode]
    return Topology(
        title=_clipped(network.name),
        outside=network.adapter or title,
        way=way,
        bridge_line=network.cidr4,
        edge="idle" if network.mode == "isolated" or not moves or not moves.octets else "flow",
        width=_width(moves),
        leaves=leaves,
        height=height,
        tree_height=TREE_TOP + TREE_PITCH * len(rows) + 8,
        middle=height // 2,
        trunk_end=max((leaf.tree_y for leaf in leaves), default=BEND) - BEND,
        words=tuple(f"{leaf.title}, {leaf.tap} {leaf.line}" + (f", {leaf.note}" if leaf.note else "") for leaf in leaves),
    )


def _sorted_out(found: Sequence[Holder]) -> tuple[list[Holder], list[tuple[str, list[Holder]]]]:
    """Those drawn one by one in the order of their addresses, and the rest by state."""
    if len(found) <= MOST:
        return list(found), []
    telling = sorted(found, key=lambda holder: (holder.dropped, holder.rates.octets if holder.rates else 0), reverse=True)
    singles, rest = telling[:SINGLE], telling[SINGLE:]
    states = dict.fromkeys(holder.state for holder in rest)
    order = {id(holder): number for number, holder in enumerate(found)}
    return sorted(singles, key=lambda holder: order[id(holder)]), [(s, [h for h in rest if h.state == s]) for s in states]


def _leaf(holder: Holder, number: int) -> Leaf:
    moves = holder.rates
    return Leaf(
        title=_clipped(holder.name),
        line=f"{holder.short4} · {_words(moves) if moves and holder.tone == 'run' else holder.state}",
        tone=holder.tone,
        edge=_edge(holder.tone, moves),
        width=_width(moves),
        y=PITCH * number + PITCH // 2,
        tree_y=TREE_TOP + TREE_PITCH * number + TREE_PITCH // 2,
        tap=holder.nic.name,
        note=_note(holder.dropped, moves),
        instance_id=holder.instance_id,
        nic_id=holder.nic.pk,
    )


def _bundle(state: str, some: Sequence[Holder], number: int) -> Leaf:
    moves = _sum(some)
    return Leaf(
        title=f"{len(some)} more",
        line=state + (f" · {_words(moves)}" if moves and moves.octets else ""),
        tone=some[0].tone,
        edge=_edge(some[0].tone, moves),
        width=_width(moves),
        y=PITCH * number + PITCH // 2,
        tree_y=TREE_TOP + TREE_PITCH * number + TREE_PITCH // 2,
        note=_note(sum(holder.dropped for holder in some), moves),
    )


def _sum(found: Sequence[Holder]) -> Rates | None:
    """Of those that are known."""
    known = [holder.rates for holder in found if holder.rates]
    return sum(known, Rates()) if known else None


def _edge(tone: str, moves: Rates | None) -> str:
    """What the line shows is now; a line of which nothing is known rests."""
    if moves and moves.dropped:
        return "drop"
    return "wait" if tone == "wait" else "flow" if tone == "run" and moves and moves.octets else "idle"


def _width(moves: Rates | None) -> float:
    """Bytes a second → px: about one more for each hundredfold."""
    return round(min(AT_REST + log10(max(moves.octets if moves else 1, 1)) / 2, 6), 1)


def _words(moves: Rates) -> str:
    return f"↓{rate(moves.octets_in)} ↑{rate(moves.octets_out)}"


def _note(dropped: int, moves: Rates | None) -> str:
    """What was dropped since the network came up, and whether more is now."""
    if moves and moves.dropped:
        return f"{dropped} dropped, {frequency(moves.dropped)} now"
    return f"{dropped} packet{'' if dropped == 1 else 's'} dropped" if dropped else ""


def _moved(leaf: Leaf, by: int) -> Leaf:
    return Leaf(**{**vars(leaf), "y": leaf.y + by})


def _clipped(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
