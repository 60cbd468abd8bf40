"""What every network driver keeps, in one class for both: the fake always, the real one under `-m host` in a namespace of its own."""

import multiprocessing
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from networks.fabric import locks
from networks.fabric.base import Endpoint, Fabric, FabricError, Guard, Redirect
from networks.fabric.fake import FakeFabric
from networks.fabric.linux import LinuxFabric
from tests.namespaces import in_own_namespace

TAG = "c0de"
WEB = Endpoint("tcp", "127.0.0.1", 80)
EMPTY = Guard(uid_first=910001, uid_last=910099, allowed={})
GUARD = replace(
    EMPTY,
    allowed={910001: (Endpoint("tcp", "127.0.0.1", 8080), WEB), 910002: (Endpoint("udp", "0.0.0.0", 9000),)},
    redirects=(Redirect(WEB, 20080),),
    shared_ports=(3128,),
    resolvers=("127.0.0.53", "::1"),
)


@dataclass
class Bench:
    """A driver, a second one as another process would open it, and the ways a host changes behind its back."""

    fabric: Fabric
    same: Fabric
    run_dir: Path
    flush: Callable[[], None]
    listen: Callable[[Endpoint], None]


@pytest.fixture(params=["fake", pytest.param("linux", marks=pytest.mark.host)])
def bench(request, tmp_path) -> Iterator[Bench]:
    if request.param == "fake":
        fake = FakeFabric(TAG, tmp_path)
        yield Bench(fake, FakeFabric(TAG, tmp_path), tmp_path, fake.flush, lambda endpoint: fake.listen({endpoint: "sshd (pid 412)"}))
        return
    in_own_namespace()
    sockets: list[socket.socket] = []
    yield Bench(
        LinuxFabric(TAG, tmp_path),
        LinuxFabric(TAG, tmp_path),
        tmp_path,
        lambda: nft("flush", "ruleset"),
        lambda e: sockets.append(listener(e)),
    )
    for opened in sockets:
        opened.close()
    nft("flush", "ruleset")


def nft(*arguments: str) -> str:
    return subprocess.run(["/usr/sbin/nft", *arguments], check=True, capture_output=True, text=True, timeout=10).stdout


def listener(endpoint: Endpoint, family: int = socket.AF_INET, v6only: bool = False) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM if endpoint.protocol == "tcp" else socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    opened.bind((endpoint.address, endpoint.port))
    if endpoint.protocol == "tcp":
        opened.listen()
    return opened


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class TestGuard:
    def test_a_host_never_guarded_does_not_hold(self, bench):
        assert not bench.fabric.guard_holds(EMPTY)

    def test_holds_once_applied_for_every_process(self, bench):
        bench.fabric.apply_guard(GUARD)
        assert bench.fabric.guard_holds(GUARD)
        assert bench.same.guard_holds(GUARD)

    def test_applying_twice_is_fine(self, bench):
        """INV-05."""
        bench.fabric.apply_guard(GUARD)
        bench.same.apply_guard(GUARD)
        assert bench.fabric.guard_holds(GUARD)

    def test_order_of_values_means_nothing(self, bench):
        bench.fabric.apply_guard(GUARD)
        assert bench.fabric.guard_holds(replace(GUARD, allowed=dict(reversed(GUARD.allowed.items())), resolvers=("::1", "127.0.0.53")))

    @pytest.mark.parametrize(
        "changes",
        [{"allowed": {}}, {"redirects": ()}, {"shared_ports": (3128, 3129)}, {"resolvers": ()}, {"uid_last": 910100}],
        ids=lambda changes: next(iter(changes)),
    )
    def test_another_guard_does_not_hold(self, bench, changes):
        bench.fabric.apply_guard(GUARD)
        other = replace(GUARD, **changes)
        assert not bench.fabric.guard_holds(other)
        bench.fabric.apply_guard(other)
        assert bench.fabric.guard_holds(other)
        assert not bench.fabric.guard_holds(GUARD)

    def test_a_strangers_flush_is_noticed_and_mended(self, bench):
        """INV-02."""
        bench.fabric.apply_guard(GUARD)
        bench.flush()
        assert not bench.fabric.guard_holds(GUARD)
        bench.fabric.apply_guard(GUARD)
        assert bench.fabric.guard_holds(GUARD)

    def test_a_bad_value_changes_nothing(self, bench):
        """INV-11: refused by name before the host is touched."""
        bench.fabric.apply_guard(GUARD)
        with pytest.raises(FabricError) as caught:
            bench.fabric.apply_guard(replace(GUARD, allowed={910001: (Endpoint("tcp", "127.0.0.1; flush ruleset", 80),)}))
        assert caught.value.code == "bad_guard"
        assert bench.fabric.guard_holds(GUARD)

    def test_remove_all_twice(self, bench):
        """INV-22."""
        bench.fabric.apply_guard(GUARD)
        bench.fabric.remove_all()
        bench.fabric.remove_all()
        assert not bench.fabric.guard_holds(GUARD)


class TestBusy:
    HELD = Endpoint("tcp", "127.0.0.1", 18099)

    def test_an_idle_host_has_none(self, bench):
        assert bench.fabric.busy((self.HELD, WEB)) == {}
        assert bench.fabric.busy(()) == {}

    def test_names_the_held_one_alone(self, bench):
        bench.listen(self.HELD)
        free = (replace(self.HELD, port=18100), replace(self.HELD, protocol="udp"), replace(self.HELD, address="127.0.0.2"))
        found = bench.same.busy((self.HELD, *free))
        assert found.keys() == {self.HELD}
        assert "(pid " in found[self.HELD]

    def test_udp_counts(self, bench):
        held = replace(self.HELD, protocol="udp")
        bench.listen(held)
        assert bench.fabric.busy((held, self.HELD)).keys() == {held}

    def test_one_address_takes_the_port_from_all_and_all_from_one(self, bench):
        everywhere = replace(self.HELD, address="0.0.0.0")
        bench.listen(self.HELD)
        assert bench.fabric.busy((everywhere,)).keys() == {everywhere}
        bench.listen(replace(everywhere, port=18101))
        assert bench.fabric.busy((replace(self.HELD, port=18101),))

    def test_our_own_redirect_is_no_obstacle(self, bench):
        """A start that is tried again meets the redirect of its first try."""
        bench.fabric.apply_guard(GUARD)
        assert bench.fabric.busy((WEB,)) == {}

    def test_what_a_vm_of_ours_holds_is_no_strangers(self, bench):
        """INV-09: rules lead to ports of ours alone, so a stranger's must be known."""
        bench.listen(self.HELD)
        assert bench.fabric.busy((self.HELD,), ours=range(910001, 910099)).keys() == {self.HELD}


class TestAddresses:
    def test_what_the_host_does_not_have_is_named(self, bench):
        asked = frozenset({"127.0.0.1", "127.0.0.2", "0.0.0.0", "192.0.2.7"})
        assert bench.fabric.foreign(asked) == {"192.0.2.7"}

    def test_nothing_asked_nothing_foreign(self, bench):
        assert bench.fabric.foreign(frozenset()) == frozenset()


class TestLock:
    def test_two_holders_exclude_each_other(self, bench, monkeypatch):
        monkeypatch.setattr(locks.hold.__wrapped__, "__defaults__", (0.1,))
        with bench.fabric.lock("guard"), pytest.raises(FabricError) as caught, bench.same.lock("guard"):
            pass
        assert caught.value.code == "timeout"
        with bench.same.lock("guard"):
            pass

    def test_names_are_apart(self, bench):
        with bench.fabric.lock("guard"), bench.same.lock("other"):
            pass

    def test_dies_with_its_holder(self, bench):
        """INV-02: a worker killed under the lock leaves it free."""
        ready, tell = multiprocessing.Pipe(duplex=False)
        holder = multiprocessing.get_context("fork").Process(target=_hold_for_ever, args=(bench.fabric, tell))
        holder.start()
        assert ready.poll(10)
        holder.kill()
        holder.join(10)
        with bench.same.lock("guard"):
            pass

    @pytest.mark.parametrize("name", ["", "../guard", "a/b", "Guard", "a\n", "x" * 65])
    def test_a_name_is_no_path(self, bench, name):
        """INV-11."""
        with pytest.raises(FabricError) as caught, bench.fabric.lock(name):
            pass
        assert caught.value.code == "bad_lock"


def _hold_for_ever(fabric: Fabric, tell) -> None:
    with fabric.lock("guard"):
        tell.send(True)
        multiprocessing.Event().wait(30)


@pytest.mark.host
class TestLinuxAlone:
    """What only a kernel can show."""

    @pytest.fixture(autouse=True)
    def namespace(self):
        in_own_namespace()
        yield
        nft("flush", "ruleset")

    @pytest.fixture
    def fabric(self, tmp_path) -> LinuxFabric:
        return LinuxFabric(TAG, tmp_path)

    def test_one_deleted_rule_is_noticed(self, fabric):
        fabric.apply_guard(GUARD)
        nft("flush", "chain", "inet", f"ow{TAG}_guard", "refuse")
        assert not fabric.guard_holds(GUARD)

    def test_one_added_rule_is_noticed(self, fabric):
        fabric.apply_guard(GUARD)
        nft("insert", "rule", "inet", f"ow{TAG}_guard", "host", "accept")
        assert not fabric.guard_holds(GUARD)
        fabric.apply_guard(GUARD)
        assert "accept\n\t\tmeta l4proto" not in nft("list", "table", "inet", f"ow{TAG}_guard")

    def test_an_unreadable_record_is_as_good_as_none(self, fabric, tmp_path):
        """INV-02: a worker killed between rules and record applies them again."""
        fabric.apply_guard(GUARD)
        (tmp_path / "guard.sha256").unlink()
        assert not fabric.guard_holds(GUARD)

    def test_foreign_tables_stay_byte_identical(self, fabric):
        """INV-04, INV-22: beside us, through every call, and what remove_all leaves is what was there."""
        nft("add table inet ufw; add chain inet ufw input { type filter hook input priority 0; }; add rule inet ufw input counter accept")
        nft("add table ip ow12_guards; add table inet owbeef_guard")
        before = nft("-s", "list", "ruleset")
        for guard in (EMPTY, GUARD):
            fabric.apply_guard(guard)
            assert before in nft("-s", "list", "ruleset")
        fabric.remove_all()
        assert nft("-s", "list", "ruleset") == before

    def test_two_installations_keep_apart(self, fabric, tmp_path):
        other = LinuxFabric("beef", tmp_path / "other")
        (tmp_path / "other").mkdir()
        fabric.apply_guard(GUARD)
        other.apply_guard(EMPTY)
        other.remove_all()
        assert fabric.guard_holds(GUARD)

    def test_another_installations_redirect_is_busy(self, fabric, tmp_path):
        other = LinuxFabric("beef", tmp_path)
        fabric.apply_guard(GUARD)
        assert other.busy((WEB, replace(WEB, address="0.0.0.0"), replace(WEB, port=81))) == {
            WEB: f"another opsweb installation (nft table ow{TAG}_guard)",
            replace(WEB, address="0.0.0.0"): f"another opsweb installation (nft table ow{TAG}_guard)",
        }

    def test_the_kernels_refusal_is_a_sentence(self, fabric, monkeypatch):
        monkeypatch.setattr("networks.fabric.guard.METADATA_V4", ("169.254.0.0/99",))
        with pytest.raises(FabricError) as caught:
            fabric.apply_guard(GUARD)
        assert caught.value.code == "rules_refused"
        assert caught.value.message.startswith("The kernel refused the host's firewall rules: ")

    def test_a_refused_change_leaves_the_rules_standing(self, fabric, monkeypatch):
        fabric.apply_guard(GUARD)
        before = nft("list", "ruleset")
        monkeypatch.setattr("networks.fabric.guard.METADATA_V4", ("169.254.0.0/99",))
        with pytest.raises(FabricError):
            fabric.apply_guard(EMPTY)
        assert nft("list", "ruleset") == before

    def test_a_host_without_nft_says_what_to_install(self, fabric, monkeypatch):
        monkeypatch.setattr("networks.fabric.nft.NFT", Path("/nonexistent/nft"))
        with pytest.raises(FabricError, match="package nftables"):
            fabric.apply_guard(GUARD)

    def test_busy_names_the_process(self, fabric):
        held = Endpoint("tcp", "127.0.0.1", 18098)
        with closing(listener(held)):
            assert fabric.busy((held,)) == {held: f"{Path('/proc/self/comm').read_text().strip()} (pid {os.getpid()})"}

    def test_a_listener_of_one_of_our_uids_is_ours(self, fabric):
        held = Endpoint("tcp", "127.0.0.1", 18095)
        with closing(listener(held)):
            assert fabric.busy((held,), ours=range(os.getuid(), os.getuid() + 1)) == {}

    @pytest.mark.parametrize(("v6only", "expected"), [(False, True), (True, False)])
    @pytest.mark.parametrize("protocol", ["tcp", "udp"])
    def test_an_ipv6_wildcard_is_busy_where_it_takes_ipv4(self, fabric, protocol, v6only, expected):
        asked = Endpoint(protocol, "127.0.0.1", 18097)
        with closing(listener(replace(asked, address="::"), socket.AF_INET6, v6only)):
            assert (asked in fabric.busy((asked,))) is expected

    def test_two_hundred_rounds_leak_no_descriptor(self, fabric):
        """T5."""
        held = Endpoint("tcp", "127.0.0.1", 18096)
        fabric.apply_guard(GUARD)
        before = descriptors()
        for _ in range(200):
            with fabric.lock("guard"), closing(listener(held)):
                assert fabric.guard_holds(GUARD)
                assert fabric.busy((held,))
        assert descriptors() <= before  # fewer: what an earlier test left to the garbage collector
