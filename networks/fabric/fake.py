"""A network driver without a network, for laptops, UI tests and scale: its host is a directory that several processes may share."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from ipaddress import IPv4Address
from pathlib import Path

from networks.fabric import fake_files, locks
from networks.fabric import guard as rules
from networks.fabric.base import NOBODY, Endpoint, Guard
from networks.fabric.fake_networks import FakeNetworks


class FakeFabric(FakeNetworks):
    """Keeps the protocol `base.Fabric` with files under `run_dir`; checks values as `linux` does and enforces nothing.

    Its host has only the listeners that `listen` wrote down, no other installation, and no address but the loopback ones.
    Whoever made the files, all of `group` act on them: parts may run as two users, and root may type a command.
    """

    def __init__(self, tag: str, run_dir: Path, *, group: int = -1) -> None:
        self._table = rules.table_name(tag)
        self._directory = run_dir / "fake-fabric"
        self._rules = self._directory / f"{self._table}.nft"
        self._listeners = self._directory / "listeners.json"
        super().__init__(tag, self._directory, group)

    def lock(self, name: str) -> AbstractContextManager[None]:
        directory = self._directory / "locks"
        fake_files.make_directory(directory, self._group)
        return locks.hold(directory, name, mode=0o640)

    def apply_guard(self, guard: Guard) -> None:
        fake_files.write(self._rules, rules.render(self._tag, guard), self._group)

    def guard_holds(self, guard: Guard) -> bool:
        return self._rules.is_file() and self._rules.read_text() == rules.render(self._tag, guard)

    def busy(self, endpoints: tuple[Endpoint, ...], *, ours: range = NOBODY) -> dict[Endpoint, str]:
        held = self._held()
        return {endpoint: who for endpoint in endpoints for other, who in held.items() if rules.overlap(endpoint, other)}

    def foreign(self, addresses: frozenset[str]) -> frozenset[str]:
        return frozenset(address for address in addresses if not (IPv4Address(address).is_loopback or IPv4Address(address).is_unspecified))

    def remove_all(self) -> None:
        self._rules.unlink(missing_ok=True)
        self._remove_networks()

    def listen(self, listeners: Mapping[Endpoint, str]) -> None:
        """Let exactly these be the host's listeners (endpoint → who), for a test or a demo of a busy port."""
        rows = [[e.protocol, e.address, e.port, who] for e, who in listeners.items()]
        fake_files.write(self._listeners, json.dumps(rows), self._group)

    def flush(self) -> None:
        """What `nft flush ruleset` by a stranger does."""
        self._rules.unlink(missing_ok=True)
        self.lose_filter()

    def _held(self) -> dict[Endpoint, str]:
        if not self._listeners.is_file():
            return {}
        return {Endpoint(protocol, address, port): who for protocol, address, port, who in json.loads(self._listeners.read_text())}
