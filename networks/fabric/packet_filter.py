"""Puts the packet filter of bridged networks into the kernel and reads its counters; part of the Linux fabric."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from networks.fabric import files, filter, filter_change, nfnetlink, nft
from networks.fabric.base import Count, Counts, FabricError, NetworkPlan, NicCounts
from networks.fabric.filter_rules import rule_of
from networks.fabric.filter_taps import tap_of
from networks.fabric.filter_values import checked


class PacketFilter:
    """The two tables of the installation `tag`, in the network namespace of the calling process; `run_dir` survives no reboot.

    A few other rules are a transaction of what differs; whatever is more than that, or follows on what somebody else did, replaces it all.

    What was wished and what the kernel then held is kept as digests in a file, so that every process can tell whether they hold;
    with it the generation of the kernel's rules at that time: as long as nobody changed any, there is nothing to look at.
    """

    def __init__(self, tag: str, run_dir: Path) -> None:
        self._tag = tag
        taps, nets = filter.table_names(tag)
        self._tables = ((nfnetlink.BRIDGE, taps), (nfnetlink.INET, nets))
        self._record = run_dir / "filter.json"
        self._text = run_dir / "filter.nft"
        self._wished: tuple[tuple[NetworkPlan, ...], str] = ((), _digest(filter.render_removal(tag)))

    def apply(self, networks: Sequence[NetworkPlan], also: str = "") -> None:
        """Make the tables exactly these, at once or not at all; counters go on. `also`: what else nft is to load in the same transaction.

        Raises: FabricError("bad_network") before anything is touched, FabricError("rules_refused"), FabricError("timeout").
        """
        plans = checked(self._tag, networks)
        text = filter.text_of(self._tag, plans)
        before, was = nfnetlink.generation(), self._last_text()
        change = filter_change.change(was, text) if was is not None else None
        self._record.unlink(missing_ok=True)  # a crash before the last line reads as "does not hold"
        if not change or not self._changed(change + also, before):
            nft.apply(filter.text_of(self._tag, plans, self.counts()) + also)
        files.write(self._text, text, mode=0o600)
        self._wished = (tuple(networks), _digest(text))
        self._write(self._wished[1], *self._look())

    def holds(self, networks: Sequence[NetworkPlan]) -> bool:
        """Whether the tables in the kernel are these: a flushed, deleted, changed or added rule changes what they hold."""
        record = self._read()
        if record.get("wish") != self._wish(networks):
            return False
        if record["generation"] == list(nfnetlink.generation()):
            return True
        held, generation = self._look()
        if record["held"] != held:
            return False
        self._write(record["wish"], held, generation)  # it was another table that changed
        return True

    def counts(self) -> Counts:
        """All counters, in one reading."""
        return _sorted_out(nfnetlink.counters(self._tables))

    def remove(self, also: str = "") -> None:
        """Take both tables away, there or not; `also` as in `apply`."""
        nft.apply(filter.render_removal(self._tag) + also)
        self._record.unlink(missing_ok=True)
        self._text.unlink(missing_ok=True)

    def _wish(self, networks: Sequence[NetworkPlan]) -> str:
        """Digest of the text for these networks. It is asked for the same ones again and again."""
        key = tuple(networks)
        if self._wished[0] != key:
            self._wished = (key, _digest(filter.render(self._tag, key)))
        return self._wished[1]

    def _changed(self, change: str, before: tuple[int, int]) -> bool:
        """Whether this change was made, and the only one since then: where somebody else was at it, nobody knows what it met."""
        with suppress(FabricError):  # the whole text says what is wrong
            nft.apply(change)
            return nfnetlink.generation() == _next(before)
        return False

    def _last_text(self) -> str | None:
        """What was applied last, without counts, if the tables in the kernel are still just that."""
        record = self._read()
        if not record or record["generation"] != list(nfnetlink.generation()):
            return None
        with suppress(FileNotFoundError):
            text = self._text.read_text()
            return text if _digest(text) == record["wish"] else None
        return None

    def _look(self) -> tuple[str, tuple[int, int] | None]:
        """Digest of what the tables hold, and the generation that it is of, unless somebody changed rules meanwhile."""
        before = nfnetlink.generation()
        held = nfnetlink.fingerprint(self._tables)
        return held, before if before == nfnetlink.generation() else None

    def _read(self) -> dict[str, Any]:
        with suppress(FileNotFoundError, ValueError):
            return dict(json.loads(self._record.read_text()))
        return {}

    def _write(self, wish: str, held: str, generation: tuple[int, int] | None) -> None:
        self._record.write_text(json.dumps({"wish": wish, "held": held, "generation": generation}))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _next(generation: tuple[int, int]) -> tuple[int, int]:
    """The one after a single change; the kernel leaves out 0."""
    return generation[0], (generation[1] + 1) % 2**32 or 1


def _sorted_out(counters: dict[str, Count]) -> Counts:
    """Counters by name → by tap and by rule."""
    nics: dict[str, dict[str, Count]] = {}
    for name, count in counters.items():
        if found := tap_of(name):
            nics.setdefault(found[0], {})[found[1]] = count
    rules = {rule: count for name, count in counters.items() if (rule := rule_of(name))}
    return Counts(nics={tap: NicCounts(of["in"], of["out"], of["dropped"]) for tap, of in nics.items()}, rules=rules)
