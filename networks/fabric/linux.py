"""The network driver for a real Linux host; held by the reconcilers in the root worker."""

import hashlib
import re
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from networks.fabric import guard as rules
from networks.fabric import listeners, locks, nfnetlink, nft
from networks.fabric.base import NOBODY, Endpoint, Guard
from networks.fabric.linux_networks import LinuxNetworks

_ANY_GUARD = re.compile(r"ow[0-9a-f]{4}_guard", re.ASCII)


class LinuxFabric(LinuxNetworks):
    """Keeps the protocol `base.Fabric` with nft(8) and /proc, in the network namespace of the calling process.

    `tag` is the installation's 4 hex digits, part of every name it gives on the host; `run_dir` is root's and survives no reboot;
    `group` is the panel's gid, whose watcher hears of leases.
    """

    def __init__(self, tag: str, run_dir: Path, *, group: int = 0) -> None:
        super().__init__(tag, run_dir, group)
        self._table = rules.table_name(tag)
        self._locks = run_dir / "locks"
        self._guard_table = ((nfnetlink.INET, self._table),)
        self._record = run_dir / "guard.sha256"

    def lock(self, name: str) -> AbstractContextManager[None]:
        return locks.hold(self._locks, name)

    def apply_guard(self, guard: Guard) -> None:
        counted = nfnetlink.counters(self._guard_table)
        text = rules.render(self._tag, guard, refused=counted.get("refused", (0, 0)))
        self._record.unlink(missing_ok=True)  # a crash before the last line reads as "does not hold"
        nft.apply(text)
        self._record.write_text(self._fingerprint(guard))

    def guard_holds(self, guard: Guard) -> bool:
        with suppress(FileNotFoundError):
            return self._record.read_text() == self._fingerprint(guard)
        return False

    def busy(self, endpoints: tuple[Endpoint, ...], *, ours: range = NOBODY) -> dict[Endpoint, str]:
        found = listeners.taken(endpoints, ours)
        if any(endpoint.port < rules.FIRST_FREE_PORT for endpoint in endpoints):
            found |= self._redirected_by_others(endpoints)
        return found

    def foreign(self, addresses: frozenset[str]) -> frozenset[str]:
        return frozenset(address for address in addresses if not listeners.can_be_listened_on(address))

    def remove_all(self) -> None:
        self._remove_networks()
        nft.apply(rules.render_removal(self._tag))
        self._record.unlink(missing_ok=True)

    def _fingerprint(self, guard: Guard) -> str:
        """Of the wish and of what the kernel holds of it: a flushed, deleted, changed or added rule changes the second."""
        wanted = rules.render(self._tag, guard)
        return hashlib.sha256(f"{wanted}\0{nfnetlink.fingerprint(self._guard_table)}".encode()).hexdigest()

    def _redirected_by_others(self, endpoints: tuple[Endpoint, ...]) -> dict[Endpoint, str]:
        """Ports that another installation's redirects take: nobody listens on them, so nothing else shows them."""
        others = [name for name in nft.tables() if _ANY_GUARD.fullmatch(name) and name != self._table]
        publics = {rules.redirect_of(comment): name for name in others for comment in nft.comments(name)}
        return {
            endpoint: f"another opsweb installation (nft table {name})"
            for endpoint in endpoints
            for public, name in publics.items()
            if public is not None and rules.overlap(endpoint, public)
        }
