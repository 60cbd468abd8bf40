"""The networks of a real host: bridges and taps by rtnetlink, a dnsmasq each, the filter by nft."""

import shutil
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from networks.fabric import dnsmasq, files, forwarding, host, links, names, preflight, sysctls, taps, uplink, values
from networks.fabric.base import Counts, Drift, FabricError, Finding, HostNetwork, Lease, Mode, NetworkPlan, NicPlan
from networks.fabric.dnsmasq_text import Paths
from networks.fabric.packet_filter import PacketFilter
from networks.fabric.undoing import Undo


class LinuxNetworks:
    """The half of the protocol `base.Fabric` that is about networks, in the network namespace of the calling process.

    A network's files lie in <run_dir>/net/<id>, which no boot survives any more than bridges do. `group`, the panel's, may watch the
    directory of the leases. dnsmasq owns that and gains nothing by its group: a file there has dnsmasq's own group (no setgid bit, which a
    process outside of the group cannot set either), and the group itself may not write.
    """

    def __init__(self, tag: str, run_dir: Path, group: int) -> None:
        self._tag, self._group = tag, group
        self._networks = run_dir / "net"
        self._forwarding = run_dir / "forwarding"
        self._filter = PacketFilter(tag, run_dir)

    def host_network(self) -> HostNetwork:
        return host.network(self._tag)

    def preflight(self, network: NetworkPlan) -> tuple[Finding, ...]:
        values.check(network, self._tag)
        return preflight.look(network, self._tag)

    def apply_network(self, network: NetworkPlan) -> None:
        values.check(network, self._tag)
        preflight.need_bridge_netfilter()
        with Undo() as undo:
            directory = self._make_directory(network, undo)
            self._remember(network, directory)
            links.ensure(network, undo)
            if network.mode is Mode.UPLINK:
                uplink.ensure(network, directory, undo)
            dnsmasq.ensure(network, directory, socket.if_nametoindex(network.bridge), undo)
            undo.pop_all()

    def drift(self, network: NetworkPlan) -> tuple[Drift, ...]:
        values.check(network, self._tag)
        found, directory = links.drift(network), self._directory(network.id)
        if network.mode is Mode.UPLINK:
            found += uplink.drift(network, directory)
        with suppress(OSError):  # no bridge: said above
            return found + dnsmasq.drift(network, directory, socket.if_nametoindex(network.bridge))
        return found + dnsmasq.drift(network, directory, 0)

    def remove_network(self, network: UUID, bridge: str) -> None:
        if not names.is_bridge(bridge, self._tag):
            raise FabricError("bad_network", f"{bridge[:40]!r} is no bridge's name of this installation.")
        directory = self._directory(network)
        dnsmasq.end(Paths(directory))
        _, _, adapter = (files.read(directory / "bridge") or "").partition(" ")
        if adapter:
            uplink.give_back(bridge, adapter, directory)
        taps.unplug_all(bridge, self._tag)
        links.remove(bridge)
        shutil.rmtree(directory, ignore_errors=True)

    def networks(self) -> tuple[tuple[UUID, str], ...]:
        found = {network: bridge for bridge, network in links.ours(self._tag).items() if network is not None}
        for directory in self._networks.iterdir() if self._networks.is_dir() else ():
            with suppress(ValueError):
                bridge = (files.read(directory / "bridge") or "").partition(" ")[0]
                found.setdefault(UUID(directory.name), bridge)
        return tuple(sorted((network, bridge) for network, bridge in found.items() if names.is_bridge(bridge, self._tag)))

    def apply_filter(self, networks: Sequence[NetworkPlan]) -> None:
        for network in networks:
            values.check(network, self._tag)
        switches = forwarding.change(networks, self._forwarding, self._tag)
        self._filter.apply(networks, switches.text)
        switches.make()
        for network in networks:  # a forward of the host's loopback may have come or gone
            if sysctls.read(links.localnet(network)[0]) is not None:
                sysctls.write(*links.localnet(network))

    def filter_holds(self, networks: Sequence[NetworkPlan]) -> bool:
        return self._filter.holds(networks) and forwarding.holds(networks)

    def plug(self, network: NetworkPlan, nic: NicPlan, queues: int = 1) -> tuple[int, ...]:
        values.check_nic(network, nic, self._tag)
        return taps.plug(network, nic, queues)

    def unplug(self, tap: str) -> None:
        if not names.is_tap(tap, self._tag):
            raise FabricError("bad_network", f"{tap[:40]!r} is no tap's name of this installation.")
        taps.unplug(tap)

    def taps(self) -> tuple[str, ...]:
        return taps.plugged(self._tag)

    def replug(self, network: NetworkPlan, nic: NicPlan, descriptors: Sequence[int]) -> None:
        values.check_nic(network, nic, self._tag)
        taps.replug(network, nic, descriptors)

    def leases(self, network: UUID) -> tuple[Lease, ...]:
        return dnsmasq.leases(self._directory(network))

    def lease_directory(self, network: UUID) -> Path:
        return Paths(self._directory(network)).own

    def counts(self) -> Counts:
        return self._filter.counts()

    def _remove_networks(self) -> None:
        for network, bridge in self.networks():
            self.remove_network(network, bridge)
        for bridge in links.ours(self._tag):  # those whose label and files somebody took away
            links.remove(bridge)
        for tap in self.taps():
            taps.unplug(tap)
        switches = forwarding.change((), self._forwarding, self._tag)
        self._filter.remove(switches.text)
        switches.make()
        shutil.rmtree(self._networks, ignore_errors=True)

    def _make_directory(self, network: NetworkPlan, undo: Undo) -> Path:
        self._networks.parent.mkdir(parents=True, exist_ok=True)
        files.make_directory(self._networks, mode=0o711)  # each dnsmasq goes through it as a user of its own, whatever the umask is
        directory = self._directory(network.id)
        if not directory.exists():
            undo.later(shutil.rmtree, directory, ignore_errors=True)
        files.make_directory(directory, gid=network.uid, mode=0o751)
        files.make_directory(Paths(directory).own, uid=network.uid, gid=self._group, mode=0o750)
        return directory

    def _remember(self, network: NetworkPlan, directory: Path) -> None:
        """Note bridge and uplink; another uplink of before an edit gets its addresses back first."""
        _, _, before = (files.read(directory / "bridge") or "").partition(" ")
        if before and before != network.adapter:
            uplink.give_back(network.bridge, before, directory)
        files.write(directory / "bridge", f"{network.bridge} {network.adapter}")

    def _directory(self, network: UUID) -> Path:
        return self._networks / str(network)
