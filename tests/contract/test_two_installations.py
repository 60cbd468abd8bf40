"""Two installations on one host, which share its switches: the one's end is not the other's, in whatever order. Linux alone."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from networks.fabric import needs
from networks.fabric.base import Mode
from networks.fabric.linux import LinuxFabric
from tests.contract.breaking import Steps, die, in_a_child, watched
from tests.contract.network_benches import PLAN, TAG, ip, run
from tests.namespaces import in_own_namespace

pytestmark = pytest.mark.host
OTHER_TAG = "beef"
ONE = replace(PLAN, nics=())
OTHER = replace(
    ONE, bridge="owbeef0000000ab", cidr4="192.168.40.0/24", gateway4="192.168.40.1", cidr6="fd00:40::/64", gateway6="fd00:40::1"
)
SWITCHES = [Path("/proc/sys/net/ipv4/ip_forward"), Path("/proc/sys/net/ipv6/conf/all/forwarding")]


@pytest.fixture
def places(short_path: Path) -> Iterator[tuple[Path, Path]]:
    """The run directories of both; all forwarding is off, and is so in the end."""
    in_own_namespace()
    short_path.chmod(0o755)
    for switch in SWITCHES:
        switch.write_text("0")
    yield short_path / "one", short_path / "other"
    for tag, name in ((TAG, "one"), (OTHER_TAG, "other")):
        LinuxFabric(tag, short_path / name).remove_all()
    assert "needs" not in run("nft", "list", "tables")


@pytest.fixture
def one(places: tuple[Path, Path]) -> LinuxFabric:
    return made(TAG, places[0])


@pytest.fixture
def other(places: tuple[Path, Path]) -> LinuxFabric:
    return made(OTHER_TAG, places[1])


def made(tag: str, place: Path) -> LinuxFabric:
    place.mkdir(exist_ok=True)
    return LinuxFabric(tag, place)


def switched() -> list[str]:
    return [switch.read_text().strip() for switch in SWITCHES]


@pytest.mark.parametrize("first", ["one", "other"])
def test_the_last_to_go_puts_back_what_the_first_found(one, other, first):
    """Before the second has a bridge, too: its filter is there first."""
    one.apply_filter([ONE])
    other.apply_filter([OTHER])
    assert switched() == ["1", "1"]
    goes, stays, plan = (one, other, OTHER) if first == "one" else (other, one, ONE)
    goes.remove_all()
    assert switched() == ["1", "1"]
    assert stays.filter_holds([plan])
    stays.apply_filter(())
    assert switched() == ["0", "0"]


def test_each_switch_is_judged_by_itself(one, other):
    one.apply_filter([ONE])
    other.apply_filter([replace(OTHER, cidr6="", gateway6="")])
    one.apply_filter(())
    assert switched() == ["1", "0"]
    other.apply_filter([replace(OTHER, mode=Mode.ISOLATED)])
    assert switched() == ["0", "0"]


def test_who_needs_nothing_holds_nothing(one, other):
    other.apply_filter([replace(OTHER, mode=Mode.ISOLATED)])
    other.apply_network(replace(OTHER, mode=Mode.ISOLATED))
    one.apply_filter([ONE])
    one.apply_filter(())
    assert switched() == ["0", "0"]


def test_what_was_on_before_both_stays_on(one, other):
    SWITCHES[0].write_text("1")
    one.apply_filter([ONE])
    other.apply_filter([OTHER])
    one.remove_all()
    other.remove_all()
    assert switched() == ["1", "0"]


def test_a_killed_installation_still_needs_it_and_puts_it_back_when_it_is_there_again(one, other, places):
    one.apply_filter([ONE])
    assert in_a_child(lambda: (other.apply_filter([OTHER]), os._exit(9))) == 9
    one.remove_all()
    assert switched() == ["1", "1"]
    made(OTHER_TAG, places[1]).remove_all()
    assert switched() == ["0", "0"]


def test_a_need_whose_installation_was_cleared_by_hand_is_stale(one, other, places):
    one.apply_filter([ONE])
    other.apply_filter([OTHER])
    run("nft", "delete", "table", "inet", "owbeef_nets")
    shutil.rmtree(places[1])
    one.apply_filter(())
    assert switched() == ["0", "0"]


def test_after_a_flush_a_bridge_alone_speaks_for_its_installation(one, other):
    one.apply_filter([ONE])
    other.apply_filter([OTHER])
    other.apply_network(OTHER)
    run("nft", "flush", "ruleset")
    one.apply_filter(())
    assert switched() == ["1", "1"]
    assert not other.filter_holds([OTHER])
    other.apply_filter([OTHER])
    one.apply_filter(())
    assert switched() == ["1", "1"]
    other.remove_all()
    assert switched() == ["0", "0"]


def test_links_that_forwarded_before_do_so_again(one, other):
    ip("link", "add", "up0", "type", "veth", "peer", "name", "up1")
    own = Path("/proc/sys/net/ipv4/conf/up0/forwarding")
    own.write_text("1")
    one.apply_filter([ONE])
    other.apply_filter([OTHER])
    one.remove_all()
    other.apply_filter(())
    assert switched() == ["0", "0"]
    assert own.read_text() == "1\n"
    assert Path("/proc/sys/net/ipv4/conf/up1/forwarding").read_text() == "0\n"
    ip("link", "delete", "up0")


def test_a_link_heeds_its_router_as_long_as_either_needs_it(one, other):
    ip("link", "add", "up0", "type", "veth", "peer", "name", "up1")
    ip("link", "set", "up0", "up")
    ip("link", "set", "up1", "up")
    ip("-6", "address", "add", "2001:db8::2/64", "dev", "up0", "nodad")
    ip("-6", "route", "add", "default", "via", "2001:db8::1", "dev", "up0", "proto", "ra")
    accept = Path("/proc/sys/net/ipv6/conf/up0/accept_ra")
    one.apply_filter([ONE])
    other.apply_filter([OTHER])
    one.remove_all()
    assert accept.read_text() == "2\n"
    other.apply_filter(())
    assert accept.read_text() == "1\n"
    ip("link", "delete", "up0")


def test_who_comes_while_the_other_puts_back_keeps_what_it_found(one, other, monkeypatch):
    """Between the last look and the switch: there is no lock that both know."""
    one.apply_filter([ONE])
    real = needs.are_unknown

    def late(installation: str) -> bool:
        monkeypatch.setattr(needs, "are_unknown", real)
        other.apply_filter([OTHER])
        return real(installation)

    monkeypatch.setattr(needs, "are_unknown", late)
    one.apply_filter(())
    assert switched() == ["1", "1"]
    other.apply_filter(())
    one.apply_filter(())
    assert switched() == ["0", "0"]


@pytest.mark.parametrize("at", range(1, 8))
def test_a_death_at_any_step_is_mended(one, other, places, at):
    """T1, INV-02: of who comes second and of who goes first."""
    one.apply_filter([ONE])
    with watched(Steps(at, die)):
        in_a_child(lambda: (other.apply_filter([OTHER]), os._exit(0)))
    other.apply_filter([OTHER])
    with watched(Steps(at, die)):
        in_a_child(lambda: (one.apply_filter(()), os._exit(0)))
    assert switched() == ["1", "1"]
    one.apply_filter(())
    assert switched() == ["1", "1"]
    other.apply_filter(())
    assert switched() == ["0", "0"]
