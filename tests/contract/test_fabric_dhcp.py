"""A real dnsmasq on a real bridge, asked through taps: who gets which address, who none, what resolves, what is left of neighbours'."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path

import pytest

from networks.fabric.base import FabricError, Mode, NetworkPlan, NicPlan
from networks.fabric.linux import LinuxFabric
from tests.contract.network_benches import ANN, BOB, OTHER, PLAN, TAG, dnsmasq_pids, ip, kill_dnsmasq
from tests.contract.tap_guests import ACK, DISCOVER, NAK, REQUEST, TapGuest, resolve, reverse
from tests.namespaces import in_own_namespace

pytestmark = pytest.mark.host
PANEL = 64_321  # a group that nobody else has
# inotify_add_watch(2) asks for the right to read.
WATCH = "sys.exit(ctypes.CDLL(None).inotify_add_watch(ctypes.CDLL(None).inotify_init1(0), os.fsencode(sys.argv[1]), 2) < 0)"
Plugging = Callable[[NetworkPlan, NicPlan], TapGuest]


@pytest.fixture
def fabric(short_path) -> Iterator[LinuxFabric]:
    in_own_namespace()
    short_path.chmod(0o755)
    made = LinuxFabric(TAG, short_path, group=PANEL)
    yield made
    made.remove_all()


@pytest.fixture
def guest(fabric) -> Iterator[Plugging]:
    """Applies the network and plugs a NIC of it; returns once the network serves it."""
    with ExitStack() as closing:

        def plug(network: NetworkPlan, nic: NicPlan) -> TapGuest:
            fabric.apply_filter([network])
            fabric.apply_network(network)
            plugged = TapGuest(fabric.plug(network, nic)[0], nic.mac)
            closing.callback(plugged.close)
            plugged.await_router()
            return plugged

        yield plug


class TestDhcp:
    def test_a_nic_gets_its_reserved_address_and_all_that_goes_with_it(self, fabric, guest):
        answer = guest(replace(PLAN, mtu=1400), BOB).lease()
        assert answer[53] == bytes([ACK])
        assert str(IPv4Address(answer[0])) == BOB.address4
        assert answer[1] == IPv4Address("255.255.255.0").packed
        assert answer[3] == answer[6] == IPv4Address(PLAN.gateway4).packed
        assert answer[15] == b"net.internal"
        assert int.from_bytes(answer[26], "big") == 1400
        assert int.from_bytes(answer[51], "big") == PLAN.lease_seconds
        assert [(lease.mac, lease.address, lease.name) for lease in fabric.leases(PLAN.id)] == [(BOB.mac, BOB.address4, "bob")]

    def test_an_isolated_network_names_no_router(self, guest):
        answer = guest(replace(PLAN, mode=Mode.ISOLATED), BOB).lease()
        assert 3 not in answer

    def test_a_strangers_mac_gets_nothing(self, fabric, guest):
        """INV-08: the filter lets it not even ask; without the filter dnsmasq knows nobody of that MAC."""
        stranger = guest(PLAN, BOB)
        stranger.mac = "02:00:00:00:00:66"
        fabric.apply_filter(())
        assert stranger.ask_dhcp(DISCOVER, seconds=1.0) is None
        assert stranger.ask_dhcp(REQUEST, wanted="192.168.33.77", seconds=1.0) is None
        assert fabric.leases(PLAN.id) == ()

    def test_a_readdressed_nic_gets_the_new_one(self, fabric, guest):
        """The old lease is refused, and its address is free for another NIC at once."""
        bob = guest(PLAN, BOB)
        bob.lease()
        swapped = replace(PLAN, nics=(replace(BOB, address4=ANN.address4), replace(ANN, address4=BOB.address4)))
        assert {drift.what for drift in fabric.drift(swapped)} == {"dnsmasq"}
        fabric.apply_filter([swapped])
        fabric.apply_network(swapped)
        refused = bob.ask_dhcp(REQUEST, wanted=BOB.address4)
        assert refused is None or refused[53] == bytes([NAK])
        assert str(IPv4Address(bob.lease()[0])) == ANN.address4

    def test_leases_outlive_a_restart(self, fabric, guest, short_path):
        """INV-02: killed by a stranger, it is seen, mended, and knows whom it gave what."""
        bob = guest(PLAN, BOB)
        bob.lease()
        kill_dnsmasq(short_path, PLAN)
        assert [(drift.what, drift.reason) for drift in fabric.drift(PLAN)] == [("dnsmasq", "does not run")]
        fabric.apply_network(PLAN)
        assert [lease.address for lease in fabric.leases(PLAN.id)] == [BOB.address4]
        assert str(IPv4Address(bob.lease()[0])) == BOB.address4

    def test_a_new_nic_needs_no_restart(self, fabric, guest, short_path):
        guest(replace(PLAN, nics=(ANN,)), ANN)
        before = dnsmasq_pids(short_path)
        bob = guest(PLAN, BOB)
        assert str(IPv4Address(bob.lease()[0])) == BOB.address4
        assert dnsmasq_pids(short_path) == before

    def test_nobody_ends_anothers_lease_by_its_client_id(self, fabric, guest):
        """INV-08: the MAC alone says who asks; the filter holds each tap to its own."""
        bob = guest(PLAN, BOB)
        bob.client_id = b"\x01" + bob.hardware
        bob.lease()
        ann = guest(PLAN, ANN)
        ann.client_id = bob.client_id
        assert str(IPv4Address(ann.lease()[0])) == ANN.address4
        assert {(lease.mac, lease.address) for lease in fabric.leases(PLAN.id)} == {(nic.mac, nic.address4) for nic in (ANN, BOB)}
        renewed = bob.ask_dhcp(REQUEST, wanted=BOB.address4)
        assert renewed is not None
        assert renewed[53] == bytes([ACK])

    def test_a_removed_nic_gets_nothing_more(self, fabric, guest):
        bob = guest(PLAN, BOB)
        bob.lease()
        fabric.apply_network(replace(PLAN, nics=(ANN,)))
        assert fabric.leases(PLAN.id) == ()
        assert bob.ask_dhcp(DISCOVER, seconds=1.0) is None

    def test_without_dhcp_nobody_gets_one(self, guest):
        bob = guest(replace(PLAN, dhcp=False), BOB)
        assert bob.ask_dhcp(DISCOVER, seconds=1.0) is None
        assert resolve("bob", 1, PLAN.gateway4) == (0, [BOB.address4])


class TestIpv6:
    def test_a_nic_gets_its_reserved_address(self, fabric, guest):
        assert guest(PLAN, BOB).lease6() == IPv6Address(BOB.address6)
        wait_for(lambda: [(lease.mac, lease.address) for lease in fabric.leases(PLAN.id)] == [("", BOB.address6)])

    def test_a_strangers_mac_gets_nothing(self, fabric, guest):
        """INV-08."""
        stranger = guest(PLAN, BOB)
        fabric.apply_filter(())
        stranger.mac = "02:00:00:00:00:66"
        assert stranger.ask_dhcp6(1.5) is None

    def test_nobody_ends_anothers_lease_by_its_client_id(self, fabric, guest):
        """INV-08."""
        bob = guest(PLAN, BOB)
        assert bob.lease6() == IPv6Address(BOB.address6)
        ann = guest(PLAN, ANN)
        ann.client_id = b"\0\x03\0\x01" + bob.hardware
        wait_for(lambda: BOB.address6 in {lease.address for lease in fabric.leases(PLAN.id)})
        assert ann.lease6() == IPv6Address(ANN.address6)
        wait_for(lambda: {lease.address for lease in fabric.leases(PLAN.id)} == {ANN.address6, BOB.address6})
        assert bob.lease6() == IPv6Address(BOB.address6)

    @pytest.mark.parametrize(("mode", "lifetime"), [(Mode.NAT, 1800), (Mode.ISOLATED, 0)])
    def test_the_router_says_ask_by_dhcp(self, guest, mode, lifetime):
        """M flag set, autonomous flag not: nobody makes up an address. An isolated network's router leads nowhere."""
        advertisement = guest(replace(PLAN, mode=mode), BOB).await_router()
        assert advertisement[5] & 0x80
        assert int.from_bytes(advertisement[6:8], "big") == lifetime
        prefix = advertisement.index(b"\x03\x04\x40")
        assert advertisement[prefix + 3] & 0x40 == 0
        assert IPv6Address(advertisement[prefix + 16 : prefix + 32]) == IPv6Address("fd12:3456:789a::")

    def test_a_readdressed_nic_gets_the_new_one(self, fabric, guest):
        bob = guest(PLAN, BOB)
        bob.lease6()
        swapped = replace(PLAN, nics=(replace(BOB, address6=ANN.address6), replace(ANN, address6=BOB.address6)))
        fabric.apply_filter([swapped])
        fabric.apply_network(swapped)
        assert bob.lease6() == IPv6Address(ANN.address6)


class TestNames:
    def test_both_families_and_both_ways(self, fabric):
        fabric.apply_network(PLAN)
        for server in (PLAN.gateway4, PLAN.gateway6):
            assert resolve("bob", 1, server) == (0, [BOB.address4])
            assert resolve("bob.net.internal", 28, server) == (0, [BOB.address6])
            assert resolve(reverse(BOB.address4), 12, server) == (0, ["bob.net.internal"])
            assert resolve(reverse(BOB.address6), 12, server) == (0, ["bob.net.internal"])
            assert resolve("db.net.internal", 1, server) == (0, ["192.168.33.200"])

    def test_a_name_of_the_network_that_is_none_goes_nowhere(self, fabric):
        """Its upstream is a documentation address: a question that went there would time out."""
        fabric.apply_network(PLAN)
        assert resolve("nobody.net.internal", 1, PLAN.gateway4) == (3, [])
        assert resolve("nobody", 1, PLAN.gateway4)[1] == []
        assert resolve(reverse("192.168.33.77"), 12, PLAN.gateway4) == (3, [])
        assert resolve(reverse("fd12:3456:789a::77"), 12, PLAN.gateway4) == (3, [])

    def test_an_isolated_network_asks_nobody_outside(self, fabric):
        fabric.apply_network(replace(PLAN, mode=Mode.ISOLATED))
        assert resolve("example.org", 1, PLAN.gateway4) == (5, [])

    def test_a_new_name_is_known_at_once_and_an_old_one_forgotten(self, fabric, short_path):
        fabric.apply_network(PLAN)
        before = dnsmasq_pids(short_path)
        fabric.apply_network(replace(PLAN, nics=(replace(BOB, name="rob"), ANN)))
        assert dnsmasq_pids(short_path) == before
        wait_for(lambda: resolve("rob", 1, PLAN.gateway4) == (0, [BOB.address4]))
        assert resolve("bob.net.internal", 1, PLAN.gateway4) == (3, [])

    @pytest.mark.parametrize("cidr", ["10.32.0.0/12", "172.16.4.0/22", "192.168.40.16/28", "198.51.100.4/30"])
    def test_any_prefix_length_starts(self, fabric, cidr):
        gateway = str(next(IPv4Network(cidr).hosts()))
        fabric.apply_network(replace(PLAN, cidr4=cidr, gateway4=gateway, nics=(), records=(("db", gateway),)))
        assert resolve("db", 1, gateway) == (0, [gateway])
        assert resolve(reverse(gateway), 12, gateway) == (0, ["db.net.internal"])


class TestNeighbours:
    def test_a_foreign_dnsmasq_stays_and_so_does_that_of_another_network(self, fabric, short_path):
        """INV-04: by identity, never by name."""
        ip("link", "add", "foreign0", "type", "veth", "peer", "name", "foreign1")
        ip("address", "add", "198.51.100.1/24", "dev", "foreign0")
        ip("link", "set", "foreign0", "up")
        (short_path / "foreign.conf").write_text("interface=foreign0\nbind-interfaces\nexcept-interface=lo\nno-resolv\n")
        command = ["/usr/sbin/dnsmasq", "--keep-in-foreground", f"--conf-file={short_path}/foreign.conf", "--pid-file", "--user=root"]
        foreign = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            fabric.apply_filter([PLAN, OTHER])
            fabric.apply_network(PLAN)
            fabric.apply_network(OTHER)
            [others] = set(dnsmasq_pids(short_path / "net" / str(OTHER.id)))
            kill_dnsmasq(short_path, PLAN)
            fabric.apply_network(PLAN)
            fabric.remove_network(PLAN.id, PLAN.bridge)
            assert dnsmasq_pids(short_path / "net") == [others]
            fabric.remove_all()
            assert dnsmasq_pids(short_path) == [foreign.pid]
            assert foreign.poll() is None
        finally:
            foreign.kill()
            foreign.wait(5)
            ip("link", "delete", "foreign0")

    def test_it_runs_as_its_own_user_and_owns_no_setting(self, fabric, short_path):
        fabric.apply_network(PLAN)
        [pid] = dnsmasq_pids(short_path)
        status = Path(f"/proc/{pid}/status").read_text()
        assert f"\nUid:\t{PLAN.uid}\t{PLAN.uid}\t{PLAN.uid}\t{PLAN.uid}\n" in status
        assert "\nCapEff:\t0000000000003400\n" in status
        assert "\nNoNewPrivs:\t1\n" in status
        directory = short_path / "net" / str(PLAN.id)
        owners = {path.name: (path.stat().st_uid, path.stat().st_mode & 0o777) for path in [directory, *directory.iterdir()]}
        assert owners == {
            str(PLAN.id): (0, 0o751),
            "bridge": (0, 0o600),
            "conf": (0, 0o640),
            "hosts": (0, 0o640),
            "reservations": (0, 0o640),
            "own": (PLAN.uid, 0o750),
        }

    def test_the_panels_group_may_watch_leases_and_neither_read_settings_nor_write(self, fabric, short_path):
        fabric.apply_network(PLAN)
        own = fabric.lease_directory(PLAN.id)
        assert own.stat().st_gid == PANEL
        assert _as_nobody(PANEL, WATCH, own) == 0
        assert _as_nobody(PLAN.uid + 1, WATCH, own) != 0
        assert _as_nobody(PANEL, "open(sys.argv[1] + '/new', 'w')", own) != 0
        assert _as_nobody(PANEL, "open(sys.argv[1] + '/conf')", own.parent) != 0

    def test_dnsmasq_gains_nothing_by_the_group_of_its_directory(self, fabric, guest):
        """What it writes there has its own group, and it cannot give a file the setgid bit of another."""
        guest(PLAN, BOB).lease()
        own = fabric.lease_directory(PLAN.id)
        assert {path.stat().st_gid for path in own.iterdir()} == {PLAN.uid}
        taken = "open(p := sys.argv[1] + '/x', 'w'); os.chmod(p, 0o2755); os.chown(p, -1, int(sys.argv[2]))"
        assert _as_nobody(PLAN.uid, taken, own, str(PANEL), uid=PLAN.uid) != 0

    def test_a_lease_writes_where_the_watcher_looks(self, fabric, guest):
        plugged = guest(PLAN, BOB)
        own = fabric.lease_directory(PLAN.id)
        before = max(path.stat().st_mtime_ns for path in own.iterdir())
        plugged.lease()
        wait_for(lambda: max(path.stat().st_mtime_ns for path in own.iterdir()) > before)

    def test_a_port_that_another_holds_is_said(self, fabric, short_path):
        """One team's bad network: its dnsmasq cannot start, and the sentence says why."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("0.0.0.0", 67))
            with pytest.raises(FabricError) as caught:
                fabric.apply_network(PLAN)
        assert caught.value.code == "dnsmasq_failed"
        assert "Address already in use" in caught.value.message
        assert fabric.networks() == ()
        assert not list(short_path.rglob("conf"))


def _as_nobody(group: int, statement: str, *arguments: Path | str, uid: int = 65_534) -> int:
    """The exit status of a Python statement under that user and group and no other."""
    command = ["/usr/bin/python3", "-c", f"import ctypes, os, sys; {statement}", *map(str, arguments)]
    return subprocess.run(command, user=uid, group=group, extra_groups=[], stderr=subprocess.DEVNULL, timeout=10, check=False).returncode


def wait_for(is_so: Callable[[], bool]) -> None:
    """A signal and a lease's way into its file have no answer to wait for: look again and again, bounded."""
    deadline = time.monotonic() + 15
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)
