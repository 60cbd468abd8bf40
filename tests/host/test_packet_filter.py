"""The filter's tables in a real kernel: what they hold, who changed them, what they count, and that nothing stays behind."""

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from networks.fabric import nfnetlink, nft, preflight
from networks.fabric.base import Counts, FabricError, NicCounts
from networks.fabric.filter import render
from networks.fabric.packet_filter import PacketFilter
from tests.host.spaces import Space
from tests.namespaces import in_own_namespace
from tests.unit.networks.plans import ALL, DUAL, EMPTY_GROUP, ISOLATED, NAT, NO_MAIL, PING, PLAIN, RANGE, REST, RULED, TAG, WEB, rule

pytestmark = pytest.mark.host


def list_table(name: str, family: str = "inet") -> str | None:
    """How nft prints the table, counts left out; None where there is none."""
    command = ["/usr/sbin/nft", "-n", "-s", "list", "table", family, name]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
    return done.stdout if done.returncode == 0 else None


TAPS, NETS = f"bridge ow{TAG}_taps", f"inet ow{TAG}_nets"


@pytest.fixture
def run_dir(tmp_path) -> Iterator[Path]:
    in_own_namespace()
    yield tmp_path
    nft.apply("flush ruleset\n")


@pytest.fixture
def one(run_dir) -> PacketFilter:
    return PacketFilter(TAG, run_dir)


def test_holds_once_applied_for_every_process(one, run_dir):
    assert not one.holds(ALL)
    one.apply(ALL)
    assert one.holds(ALL)
    assert PacketFilter(TAG, run_dir).holds(ALL)
    assert one.holds(tuple(reversed(ALL)))


def test_applying_twice_is_fine(one):
    """INV-05."""
    one.apply(ALL)
    one.apply(ALL)
    assert one.holds(ALL)


@pytest.mark.parametrize(
    "other",
    [
        ALL[1:],
        (),
        (replace(NAT, nics=()), *ALL[1:]),
        (replace(NAT, linked=()), *ALL[1:]),
        (replace(NAT, nics=(replace(PLAIN, rate_kbit=1),)), *ALL[1:]),
    ],
    ids=["network", "none", "nics", "link", "rate"],
)
def test_other_networks_do_not_hold(one, other):
    one.apply(ALL)
    assert not one.holds(other)
    one.apply(other)
    assert one.holds(other)
    assert not one.holds(ALL)


@pytest.mark.parametrize(
    "change",
    [
        "flush ruleset",
        f"delete table {TAPS}",
        f"delete table {NETS}",
        f"flush chain {NETS} forward",
        f"add rule {NETS} forward accept",
        f"insert rule {TAPS} prerouting accept",
        f'delete element {TAPS} macs {{ "{PLAIN.tap}" . {PLAIN.mac} }}',
        f'add element {NETS} within {{ "{NAT.bridge}" . "{ISOLATED.bridge}" : accept }}',
        f"add element {NETS} nat4 {{ 203.0.113.0/24 }}",
        f"add element {NETS} bridges {{ owffff00000001b }}",
        f"add chain {NETS} idle",
        f"add set {NETS} idle {{ type ipv4_addr; }}",
        f"add counter {NETS} idle",
        f"add table {TAPS} {{ flags dormant; }}",
        f"delete rule {TAPS} postrouting handle HANDLE",
    ],
)
def test_whatever_a_stranger_changes_is_noticed_and_mended(one, run_dir, change):
    """INV-02."""
    one.apply(ALL)
    if "HANDLE" in change:
        change = change.replace("HANDLE", _last_handle("bridge", f"ow{TAG}_taps", "postrouting"))
    nft.apply(f"{change}\n")
    assert not one.holds(ALL)
    assert not PacketFilter(TAG, run_dir).holds(ALL)
    one.apply(ALL)
    assert one.holds(ALL)


RULES = (WEB, RANGE, PING, EMPTY_GROUP, NO_MAIL, REST)
CHANGES = {
    "other rules": ((WEB, REST), (rule(20, allow=True, protocol="udp", ports=(53, 53)), WEB, rule(21, inbound=False))),
    "the first rules": ((), RULES),
    "the last rules go": (RULES, ()),
    "another order": ((WEB, REST), (REST, WEB)),
    "other peers": (
        (rule(22, peers=("10.0.0.0/8", "10.128.0.0/9", "192.0.2.1", "fd00::/8")),),
        (rule(22, peers=("192.0.2.1", "192.0.2.9")),),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_rules_comes_to_the_same_as_the_whole(one, monkeypatch, name):
    """Only what differs is sent, and yet the tables are those that a replacement makes; what a rule that stays has counted is kept."""
    before, after = ((replace(NAT, nics=(PLAIN, DUAL, replace(RULED, rules=rules))), *ALL[1:]) for rules in CHANGES[name])
    one.apply(before)
    sent = []
    monkeypatch.setattr(nft, "apply", lambda text, send=nft.apply: (sent.append(text), send(text)))
    one.apply(after)
    assert one.holds(after)
    assert len(sent) == 1
    assert "delete table" not in sent[0]
    changed = _tables()
    one.remove()
    one.apply(after)
    assert _tables() == changed


def test_a_change_after_a_strangers_replaces_the_whole(one, monkeypatch):
    """INV-02: nobody knows what it would meet; the same where he is quicker than we."""
    one.apply(ALL)
    nft.apply(f"flush chain {NETS} forward\n")
    one.apply(ALL[:1])
    assert one.holds(ALL[:1])
    wanted = _tables()
    other = (replace(ALL[0], nics=(PLAIN, DUAL, replace(RULED, rules=(REST,)))),)
    one.apply(other)

    def apply_late(text: str, send=nft.apply) -> None:
        if "delete table" not in text:
            send(f"flush chain {NETS} forward\n")
        send(text)

    monkeypatch.setattr(nft, "apply", apply_late)
    one.apply(ALL[:1])
    assert one.holds(ALL[:1])
    assert _tables() == wanted


def _last_handle(*chain: str) -> str:
    """Of the last rule in a chain."""
    done = subprocess.run([nft.NFT, "-a", "list", "chain", *chain], check=True, capture_output=True, text=True, timeout=10)
    return re.findall(r"# handle (\d+)$", done.stdout, re.MULTILINE)[-1]


def _tables() -> dict[str, list[str]]:
    """What nft prints of ours, a block each, whatever their order."""
    listed = (list_table(f"ow{TAG}_taps", "bridge"), list_table(f"ow{TAG}_nets"))
    return {table.split()[2]: sorted(re.findall(r"^\t\w+ \w+ \{.*?^\t\}", table, re.MULTILINE | re.DOTALL)) for table in map(str, listed)}


def test_what_strangers_do_to_their_own_tables_is_theirs(one, run_dir):
    """INV-04."""
    nft.apply("add table inet stranger\nadd chain inet stranger c { type filter hook forward priority 0; }\n")
    one.apply(ALL)
    nft.apply("add rule inet stranger c accept\n")
    assert one.holds(ALL)
    nft.apply("add rule inet stranger c accept\n")
    assert PacketFilter(TAG, run_dir).holds(ALL)
    before = list_table("stranger")
    one.apply(ALL[1:])
    one.remove()
    assert list_table("stranger") == before


def test_another_namespaces_tables_are_not_taken_for_ours(one, run_dir):
    """A record left from before: the same file, another network."""
    one.apply(ALL)
    with Space() as elsewhere, elsewhere.inside():
        assert not one.holds(ALL)
        assert not PacketFilter(TAG, run_dir).holds(ALL)
    assert one.holds(ALL)


def test_a_bad_value_changes_nothing(one):
    """INV-11, SEC-F3: refused by name before the host is touched."""
    one.apply(ALL)
    with pytest.raises(FabricError) as caught:
        one.apply((replace(NAT, nics=(replace(PLAIN, rules=(rule(1, peers=("10.0.0.0/8 } accept",)),)),)), *ALL[1:]))
    assert caught.value.code == "bad_network"
    assert one.holds(ALL)


def test_what_the_kernel_refuses_changes_nothing(one, monkeypatch):
    """SEC-F3: all of the text or none of it."""
    one.apply(ALL)
    before = (list_table(f"ow{TAG}_taps", "bridge"), list_table(f"ow{TAG}_nets"))
    monkeypatch.setattr("networks.fabric.filter_nets.REJECTS", ("frobnicate",))
    with pytest.raises(FabricError) as caught:
        one.apply(ALL[1:])
    assert caught.value.code == "rules_refused"
    assert (list_table(f"ow{TAG}_taps", "bridge"), list_table(f"ow{TAG}_nets")) == before
    assert not one.holds(ALL[1:])


def test_there_is_a_counter_for_everything(one):
    """Of each NIC and each rule, those that fit nobody too; what is gone counts no more."""
    one.apply(ALL)
    nics = [nic for plan in ALL for nic in plan.nics]
    assert one.counts() == Counts({nic.tap: NicCounts() for nic in nics}, {rule.id: (0, 0) for nic in nics for rule in nic.rules})
    one.apply((ISOLATED,))
    assert one.counts() == Counts({ISOLATED.nics[0].tap: NicCounts()}, {})


class Meddled:
    """A netlink socket that reads in small pieces; after the first one something happens."""

    def __init__(self, what: Callable[[], None]) -> None:
        self._socket, self._what = nfnetlink._opened(), [what]
        self.send = self._socket.send

    def recv(self, room: int) -> bytes:
        piece = self._socket.recv(4096)
        if self._what:
            self._what.pop()()
        return piece

    def __enter__(self) -> "Meddled":
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()


def test_counters_are_of_one_moment(one, monkeypatch):
    """The kernel tells of a reading that a change came into; half of it would be worse than none."""
    nics = tuple(
        replace(PLAIN, tap=f"ow1a2b{n:08x}t", mac=f"02:00:00:00:01:{n:02x}", address4=f"192.168.33.{n}", address6="") for n in range(2, 202)
    )
    one.apply((replace(NAT, nics=nics),))
    text = render(TAG, (replace(NAT, nics=nics[1:]),))
    socket = Meddled(lambda: nft.apply(text))
    monkeypatch.setattr(nfnetlink, "_opened", lambda: socket)
    assert one.counts().nics == {nic.tap: NicCounts() for nic in nics[1:]}


def test_a_kernel_that_counts_no_connections_is_named_before(one, monkeypatch):
    """Fatal, for the whole filter would be refused; the look itself makes no table."""
    before = nfnetlink.generation()
    assert "no_connection_limit" not in [finding.code for finding in preflight.look(NAT, TAG)]
    assert nfnetlink.generation() == before
    monkeypatch.setattr("networks.fabric.preflight._LIMIT", "table inet owprobe {\n\tchain probe {\n\t\tct frobnicate drop\n\t}\n}\n")
    assert ("no_connection_limit", True) in [(finding.code, finding.fatal) for finding in preflight.look(NAT, TAG)]


def test_without_networks_nothing_is_left(one):
    """INV-22."""
    one.apply(ALL)
    one.apply(())
    assert list_table(f"ow{TAG}_taps", "bridge") is None
    assert list_table(f"ow{TAG}_nets") is None
    assert one.holds(())
    one.remove()
    one.remove()
    assert not one.holds(())
