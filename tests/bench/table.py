"""A measured row and the table of them: pure, for `__main__` to print and to keep as JSON."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median


@dataclass(frozen=True)
class Target:
    """A promise of docs/specification.md: its words, and whether (ours, reference) keep it."""

    text: str
    holds: Callable[[float, float, float], bool]  # ours, reference, ratio


def ratio_at_most(limit: float) -> Target:
    return Target(f"≤ {limit:g} ×", lambda ours, reference, ratio: ratio <= limit)


def ratio_at_least(limit: float) -> Target:
    return Target(f"≥ {limit:g} ×", lambda ours, reference, ratio: ratio >= limit)


def ours_at_most(limit: float, unit: str) -> Target:
    return Target(f"≤ {limit:g} {unit}".rstrip(), lambda ours, reference, ratio: ours <= limit)


def above_reference_by_at_most(limit: float, unit: str) -> Target:
    return Target(f"≤ ref + {limit:g} {unit}", lambda ours, reference, ratio: ours <= reference + limit)


@dataclass(frozen=True)
class Row:
    """One line of the table. `reference` is None where the target is an absolute one; `note` says what was measured, and how often."""

    key: str
    what: str
    unit: str
    ours: float
    reference: float | None
    ratio: float | None
    target: Target
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the target is met."""
        return self.target.holds(self.ours, self.reference or 0.0, self.ratio or 0.0)

    @property
    def cells(self) -> tuple[str, ...]:
        """As the table shows it."""
        reference = "–" if self.reference is None else f"{shown(self.reference)} {self.unit}".rstrip()
        ratio = "–" if self.ratio is None else f"{self.ratio:.2f} ×"
        return (self.what, f"{shown(self.ours)} {self.unit}".rstrip(), reference, ratio, self.target.text, "ok" if self.holds else "MISSED")

    @property
    def facts(self) -> dict[str, object]:
        """As build/bench.json has it."""
        return {**asdict(self), "target": self.target.text, "holds": self.holds}


def side_by_side(key: str, what: str, unit: str, ours: Sequence[float], reference: Sequence[float], target: Target, note: str) -> Row:
    """Rounds of both, taken in turn: medians, and the median of each round's own ratio, so that a busy minute hits both alike."""
    ratio = median(mine / other for mine, other in zip(ours, reference, strict=True))
    return Row(key, what, unit, median(ours), median(reference), ratio, target, f"{len(ours)} rounds; {note}")


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0…1) of `values` lie."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def shown(value: float) -> str:
    """Three figures."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


HEAD = ("what", "ours", "reference", "ratio", "target", "verdict")


def render(rows: Sequence[Row]) -> str:
    """The table as text."""
    lines = [HEAD, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    text = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([text[0], "-|-".join("-" * width for width in widths), *text[1:]])
