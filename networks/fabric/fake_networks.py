"""The networks of the fake host: what `linux` makes of bridges, taps and dnsmasq is here a file each."""

import json
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from uuid import UUID
from zlib import crc32

from networks.fabric import fake_files, findings, values
from networks.fabric import filter as packet_rules
from networks.fabric.base import (
    Adapter,
    Count,
    Counts,
    Drift,
    FabricError,
    Finding,
    HostNetwork,
    Lease,
    NetworkPlan,
    NicCounts,
    NicPlan,
)

PARTS = {"bridge": "is gone", "address": "is gone", "dnsmasq": "does not run"}  # what may be lost → its drift
_HOST = HostNetwork(
    routes=(("10.0.2.0/24", "eth0"), ("10.9.0.0/24", "eth1")),
    adapters=(Adapter("eth0", ("10.0.2.15/24",), is_up=True), Adapter("eth1", ("10.9.0.2/24",), is_up=True)),
)


class FakeNetworks:
    """The half of the protocol `base.Fabric` that is about networks."""

    def __init__(self, tag: str, directory: Path, group: int) -> None:
        self._tag = tag
        self._group = group
        self._networks = directory / "networks"
        self._taps = directory / "taps"
        self._filter = directory / f"ow{tag}_nets.json"
        self._host = directory / "host.json"

    def host_network(self) -> HostNetwork:
        stored = _read(self._host)
        if stored is None:
            return _HOST
        adapters = tuple(Adapter(a["name"], tuple(a["addresses"]), a["is_up"]) for a in stored["adapters"])
        return HostNetwork(tuple((cidr, link) for cidr, link in stored["routes"]), adapters, stored["platform"])

    def preflight(self, network: NetworkPlan) -> tuple[Finding, ...]:
        values.check(network, self._tag)
        return findings.of_host(network, self.host_network())

    def apply_network(self, network: NetworkPlan) -> None:
        values.check(network, self._tag)
        if network.adapter and network.adapter not in {adapter.name for adapter in self.host_network().adapters}:
            raise FabricError("link_refused", f"The host has no network adapter {network.adapter}.")
        fake_files.make_directory(self.lease_directory(network.id), self._group)
        self._write(self._file(network.id), {"bridge": network.bridge, "plan": _shape(network), "nics": _nics(network), "lost": []})

    def drift(self, network: NetworkPlan) -> tuple[Drift, ...]:
        values.check(network, self._tag)
        stored = _read(self._file(network.id))
        if stored is None:
            return tuple(Drift(what, reason) for what, reason in PARTS.items())
        lost = tuple(Drift(what, PARTS[what]) for what in stored["lost"])
        return lost if stored["plan"] == _shape(network) else (*lost, Drift("dnsmasq", "has other settings"))

    def remove_network(self, network: UUID, bridge: str) -> None:
        self._file(network).unlink(missing_ok=True)
        shutil.rmtree(self.lease_directory(network), ignore_errors=True)
        for tap, stored in self._plugged().items():
            if stored["bridge"] == bridge:
                self.unplug(tap)

    def networks(self) -> tuple[tuple[UUID, str], ...]:
        files = sorted(self._networks.glob("*.json"))
        return tuple((UUID(file.stem), stored["bridge"]) for file in files if (stored := _read(file)) is not None)

    def apply_filter(self, networks: Sequence[NetworkPlan]) -> None:
        for network in networks:
            values.check(network, self._tag)
        text = self._text(networks)
        rules = {nic.tap: [str(rule.id) for rule in (*nic.firm, *nic.rules)] for network in networks for nic in network.nics}
        self._write(self._filter, {"text": text, "rules": rules})

    def filter_holds(self, networks: Sequence[NetworkPlan]) -> bool:
        stored = _read(self._filter)
        return stored is not None and stored["text"] == self._text(networks)

    def plug(self, network: NetworkPlan, nic: NicPlan, queues: int = 1) -> tuple[int, ...]:
        self._plug(network, nic)
        return tuple(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC) for _ in range(queues))

    def unplug(self, tap: str) -> None:
        (self._taps / f"{tap}.json").unlink(missing_ok=True)

    def taps(self) -> tuple[str, ...]:
        return tuple(sorted(self._plugged()))

    def replug(self, network: NetworkPlan, nic: NicPlan, descriptors: Sequence[int]) -> None:
        if not descriptors:
            raise FabricError("not_plugged", f"Nobody holds the tap {nic.tap} any more.")
        self._plug(network, nic)

    def leases(self, network: UUID) -> tuple[Lease, ...]:
        stored = _read(self._file(network))
        if stored is None or not stored["nics"]["dhcp"]:
            return ()
        plugged = self._plugged()
        rows = ((nic, plugged[nic["tap"]]["since"]) for nic in stored["nics"]["all"] if nic["tap"] in plugged)
        return tuple(
            Lease(nic["mac"], nic["address4"], nic["name"], expires_at=_renewed(since, stored["nics"]["lease_seconds"]))
            for nic, since in rows
        )

    def lease_directory(self, network: UUID) -> Path:
        return self._networks / str(network)

    def counts(self) -> Counts:
        """Some packets a second each way since the tap was plugged in; each rule decides one of them, and one NIC in four spoofs."""
        rules = (_read(self._filter) or {"rules": {}})["rules"]
        nics = {tap: NicCounts() for tap in rules}
        decided: dict[UUID, Count] = {UUID(rule): (0, 0) for of_tap in rules.values() for rule in of_tap}
        for tap, stored in self._plugged().items():
            seconds = max(0, int(time.time() - stored["since"]))
            busy, dropped = _busy(tap), 2 * seconds if _busy(tap) % 4 == 0 else 0
            nics[tap] = NicCounts((busy * seconds, 900 * busy * seconds), (busy * seconds, 120 * busy * seconds), (dropped, 60 * dropped))
            for rule in map(UUID, rules.get(tap, ())):
                decided[rule] = (decided[rule][0] + seconds, decided[rule][1] + 60 * seconds)
        return Counts(nics, decided)

    def lose(self, network: UUID, what: str) -> None:
        """Let a stranger take away "bridge", "address" or "dnsmasq" of the network, for a test or a demo of drift."""
        stored = _read(self._file(network))
        if stored is not None:
            self._write(self._file(network), stored | {"lost": sorted({*stored["lost"], what} & PARTS.keys(), key=list(PARTS).index)})

    def lose_tap(self, tap: str) -> None:
        """Let a stranger delete the tap of a running VM."""
        self.unplug(tap)

    def lose_filter(self) -> None:
        """Let a stranger flush the tables of networks."""
        self._filter.unlink(missing_ok=True)

    def set_host(self, host: HostNetwork) -> None:
        """Let this be the host's own network."""
        self._write(self._host, asdict(host))

    def _remove_networks(self) -> None:
        self.lose_filter()
        for directory in (self._networks, self._taps):
            shutil.rmtree(directory, ignore_errors=True)

    def _plug(self, network: NetworkPlan, nic: NicPlan) -> None:
        values.check_nic(network, nic, self._tag)
        if _read(self._file(network.id)) is None:
            raise FabricError("link_refused", f"The network {network.name} has no bridge on the host.")
        self._write(self._taps / f"{nic.tap}.json", {"bridge": network.bridge, "since": time.time()})
        if network.dhcp:  # the guest asks at once
            fake_files.write(self.lease_directory(network.id) / "leases", nic.mac, self._group)

    def _plugged(self) -> dict[str, Any]:
        return {file.stem: stored for file in self._taps.glob("*.json") if (stored := _read(file)) is not None}

    def _file(self, network: UUID) -> Path:
        return self._networks / f"{network}.json"

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        fake_files.write(path, json.dumps(content), self._group)

    def _text(self, networks: Sequence[NetworkPlan]) -> str:
        return packet_rules.render(self._tag, networks)


def _shape(network: NetworkPlan) -> str:
    """What bridge, addresses and dnsmasq are made from: all but the filter's part."""
    return repr(replace(network, nics=tuple(replace(nic, rate_kbit=0, rules=(), forwards=()) for nic in network.nics), linked=()))


def _nics(network: NetworkPlan) -> dict[str, Any]:
    rows = [{"tap": nic.tap, "mac": nic.mac, "name": nic.name, "address4": nic.address4} for nic in network.nics]
    return {"dhcp": network.dhcp, "lease_seconds": network.lease_seconds, "all": rows}


def _busy(tap: str) -> int:
    """Packets a second: each tap has its own."""
    return 1 + crc32(tap.encode()) % 400


def _renewed(since: float, seconds: int) -> float:
    """A guest renews at half time, so the rest is never below a half."""
    halves = max(0, int((time.time() - since) // (seconds / 2)))
    return since + halves * seconds / 2 + seconds


def _read(path: Path) -> Any:
    with suppress(FileNotFoundError):
        return json.loads(path.read_text())
    return None
