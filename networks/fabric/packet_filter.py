"""Puts the packet filter of bridged networks into the kernel and reads its counters; part of the Linux fabric."""

import hashlib
import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from networks.fabric import filter, nft
from networks.fabric.base import Count, Counts, NetworkPlan, NicCounts
from networks.fabric.filter_rules import rule_of
from networks.fabric.filter_taps import tap_of
from networks.fabric.filter_values import checked


class PacketFilter:
    """The two tables of the installation `tag`, in the network namespace of the calling process; `run_dir` survives no reboot.

    What was wished and what nft printed for it is kept as digests in a file, so that every process can tell whether they hold;
    with it the generation of the kernel's rules at that time: as long as nobody changed any, there is nothing to list.
    """

    def __init__(self, tag: str, run_dir: Path) -> None:
        self._tag = tag
        self._taps, self._nets = filter.table_names(tag)
        self._record = run_dir / "filter.json"
        self._wished: tuple[tuple[NetworkPlan, ...], str] = ((), _digest(filter.render_removal(tag)))

    def apply(self, networks: Sequence[NetworkPlan]) -> None:
        """Make the tables exactly these, at once or not at all; counters go on.

        Raises: FabricError("bad_network") before anything is touched, FabricError("rules_refused"), FabricError("timeout").
        """
        plans = checked(self._tag, networks)
        text = filter.text_of(self._tag, plans, self.counts())
        self._record.unlink(missing_ok=True)  # a crash before the last line reads as "does not hold"
        nft.apply(text)
        self._wished = (tuple(networks), _digest(_uncounted(text)))
        self._write(self._wished[1], *self._look())

    def holds(self, networks: Sequence[NetworkPlan]) -> bool:
        """Whether the tables in the kernel are these: a flushed, deleted, changed or added rule changes what nft prints."""
        record = self._read()
        if record.get("wish") != self._wish(networks):
            return False
        if record["generation"] == list(nft.generation()):
            return True
        printed, generation = self._look()
        if record["printed"] != printed:
            return False
        self._write(record["wish"], printed, generation)  # it was another table that changed
        return True

    def counts(self) -> Counts:
        """All counters, in one reading."""
        return _sorted_out(nft.counters((self._taps, self._nets)))

    def remove(self) -> None:
        """Take both tables away, there or not."""
        nft.apply(filter.render_removal(self._tag))
        self._record.unlink(missing_ok=True)

    def _wish(self, networks: Sequence[NetworkPlan]) -> str:
        """Digest of the text for these networks. It is asked for the same ones again and again."""
        key = tuple(networks)
        if self._wished[0] != key:
            self._wished = (key, _digest(_uncounted(filter.render(self._tag, key))))
        return self._wished[1]

    def _look(self) -> tuple[str, tuple[int, int] | None]:
        """Digest of what nft prints, and the generation that it is of, unless somebody changed rules meanwhile."""
        before = nft.generation()
        with ThreadPoolExecutor(2) as both:
            taps, nets = both.map(nft.list_table, (self._taps, self._nets), ("bridge", "inet"))
        printed = _digest(f"{taps}\0{nets}")
        return printed, before if before == nft.generation() else None

    def _read(self) -> dict[str, Any]:
        with suppress(FileNotFoundError, ValueError):
            return dict(json.loads(self._record.read_text()))
        return {}

    def _write(self, wish: str, printed: str, generation: tuple[int, int] | None) -> None:
        self._record.write_text(json.dumps({"wish": wish, "printed": printed, "generation": generation}))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _uncounted(text: str) -> str:
    return re.sub(r"packets [0-9]+ bytes [0-9]+", "", text)


def _sorted_out(counters: dict[str, Count]) -> Counts:
    """Counters by name → by tap and by rule."""
    nics: dict[str, dict[str, Count]] = {}
    for name, count in counters.items():
        if found := tap_of(name):
            nics.setdefault(found[0], {})[found[1]] = count
    rules = {rule: count for name, count in counters.items() if (rule := rule_of(name))}
    return Counts(nics={tap: NicCounts(of["in"], of["out"], of["dropped"]) for tap, of in nics.items()}, rules=rules)
