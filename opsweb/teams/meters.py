"""A quota as a bar: how much of how much. Pure; made by the apps' pages."""

from dataclasses import dataclass
from math import floor

GIB = 1024  # MiB


@dataclass(frozen=True)
class Meter:
    """One quota: how much of how much."""

    name: str
    label: str
    used: int
    limit: int
    unit: str = ""

    @property
    def percent(self) -> int:
        """0 to 100, for the bar."""
        return min(100, round(100 * self.used / self.limit)) if self.limit else 100

    @property
    def amount(self) -> str:
        """What is taken: "3", "1.5", "384 MiB"; without the unit that the limit has."""
        amount, unit = self._figure(self.used)
        return amount if unit == self._figure(self.limit)[1] else f"{amount} {unit}"

    @property
    def whole(self) -> str:
        """The limit with its unit: "32", "16 GiB"."""
        return " ".join(self._figure(self.limit)).strip()

    @property
    def text(self) -> str:
        """ "3 of 32", "1.5 of 16 GiB"."""
        return f"{self.amount} of {self.whole}"

    def _figure(self, amount: int) -> tuple[str, str]:
        """With two decimals, halves upwards, as static/js/create.js has it."""
        if self.unit == "MiB" and amount >= GIB:
            return f"{floor(100 * amount / GIB + 0.5) / 100:g}", "GiB"
        return str(amount), self.unit
