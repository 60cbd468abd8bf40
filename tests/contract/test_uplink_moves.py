"""Which routes and addresses move with an adapter that becomes an uplink, and which forbid it. Linux alone."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from networks.fabric import routes
from networks.fabric.base import FabricError
from tests.contract import advertiser
from tests.contract.breaking import Steps, die, in_a_child, watched
from tests.contract.hypervisors import until
from tests.contract.network_benches import PLAN, changes, ip, run, snapshot
from tests.contract.uplinks import UPLINK, beyond, fabric, router  # noqa: F401 — fixtures

pytestmark = pytest.mark.host
PREFIX = "2001:db8:5::"
MOVED = """
    address add 198.51.100.9 peer 192.0.2.1 dev up0
    address add 198.51.100.10/24 dev up0 label up0:x
    route add default metric 300 nexthop via 198.51.100.1 dev up0 weight 1 nexthop via 198.18.0.9 dev up1 weight 3
    route add 10.1.0.0/16 nexthop via 198.51.100.1 dev up0 nexthop via 198.51.100.254 dev up0 weight 5
    route add 10.2.0.0/16 via 198.51.100.1 table 100 metric 7 src 198.51.100.2
    route add 10.2.0.0/16 via 198.51.100.254 table 100 metric 8
    route add 10.3.0.0/16 via 192.0.2.77 dev up0 onlink
    route add 10.4.0.0/16 via 198.51.100.1 mtu lock 1400 advmss 1000 initcwnd 20 congctl reno
    route add 10.5.0.0/16 via 198.51.100.1 tos 0x10
    route add 10.6.0.0/16 via inet6 fe80::1 dev up0
    route add 10.7.0.0/16 via 192.0.2.1
    -6 route add 2001:db8:a::/48 nexthop via 2001:db8:1::1 dev up0 nexthop via 2001:db8:1::fe dev up0
    -6 route add 2001:db8:b::/48 nexthop via 2001:db8:1::1 dev up0 weight 4 nexthop via fe80::9 dev up1
    -6 route add 2001:db8:c::/48 via 2001:db8:1::1 pref high
    -6 route add 2001:db8:d::/48 via 2001:db8:1::1 mtu 1400 table 200
    -6 route add 2001:db8:e::/48 from 2001:db8:1::/64 via 2001:db8:1::1
    -6 route add 2001:db8:f::/48 via 2001:db9::1 dev up0 onlink
    -6 route add 2001:db8:10::/48 via 2001:db8:1::1 expires 500
    -6 route add 2001:db8:11::/48 via 2001:db8:1::1 src 2001:db8:1::2
    -6 route add 2001:db8:12::/48 via fe80::9 dev up1 metric 9
    -6 route add 2001:db8:12::/48 via 2001:db8:1::1 dev up0 metric 10
"""
REFUSED = {
    "a nexthop object": (("nexthop add id 5 via 198.51.100.1 dev up0", "route add 10.1.0.0/16 nhid 5"), "10.1.0.0/16"),
    "a tunnel": (("route add 10.1.0.0/16 encap ip id 3 dst 198.51.100.1 dev up0",), "10.1.0.0/16"),
    "multicast": (("route add multicast 239.1.0.0/16 dev up0",), "239.1.0.0/16"),
    "the same metric": (("route append 10.1.0.0/16 via 198.51.100.1", "route append 10.1.0.0/16 via 198.18.0.9 dev up1"), "same metric"),
    "another uplink": (
        (
            "link add owbeef00000001b type bridge",
            "link set owbeef00000001b up",
            "route add 10.1.0.0/16 nexthop via 198.51.100.1 dev up0 nexthop via 192.0.2.9 dev owbeef00000001b onlink",
        ),
        "another uplink",
    ),
    "a rule": (("rule add iif up0 lookup 100",), "ip rule"),
    "advertised to a program": (("-6 route add default via 2001:db8:1::1 dev up0 proto ra expires 500",), "accept_ra"),
}


@pytest.fixture(autouse=True)
def second(router: int) -> Iterator[None]:
    """A second adapter, up1, and a second router behind up0: 198.51.100.254 and 2001:db8:1::fe."""
    beyond(router, "ip", "address", "add", "198.51.100.254/24", "dev", "far0")
    beyond(router, "ip", "-6", "address", "add", "2001:db8:1::fe/64", "dev", "far0", "nodad")
    ip("link", "add", "up1", "type", "veth", "peer", "name", "far1", "netns", str(router))
    beyond(router, "ip", "link", "set", "far1", "up")
    ip("link", "set", "up1", "up")
    ip("address", "add", "198.18.0.2/24", "dev", "up1")
    yield
    ip("link", "delete", "up1")


def of_link(link: str) -> list[str]:
    """All routes and addresses over it, the link as LINK, hops in order, without what is left of their time."""
    shown = ip("-o", "-4", "route", "show", "table", "all") + ip("-o", "-6", "route", "show", "table", "all")
    shown += ip("-o", "address", "show", "dev", link)
    lines = (line for line in shown.splitlines() if f" {link} " in line and not re.search("fe80::[^9]|ff00::|table local", line))
    own = (re.sub(rf"[0-9]+sec|^\d+: |\b{link}(?![:\w])", lambda found: "LINK" if found[0] == link else "", line) for line in lines)
    return sorted(" ".join(sorted(" ".join(part.split()) for part in line.split("\\"))) for line in own)


def test_every_plain_route_moves_whole_and_comes_back(fabric):
    """INV-22."""
    for line in MOVED.strip().splitlines():
        ip(*line.split())
    before = of_link("up0")
    assert len(before) > 25
    fabric.apply_network(UPLINK)
    assert of_link(UPLINK.bridge) == before
    assert of_link("up0") == []
    assert fabric.drift(UPLINK) == ()
    fabric.apply_network(UPLINK)
    fabric.remove_network(UPLINK.id, UPLINK.bridge)
    assert of_link("up0") == before


def test_a_hop_over_another_adapter_may_go_meanwhile(fabric):
    ip("route", "add", "10.1.0.0/16", "nexthop", "via", "198.51.100.1", "dev", "up0", "nexthop", "via", "198.18.0.9", "dev", "up1")
    fabric.apply_network(UPLINK)
    ip("link", "set", "up1", "down")
    ip("route", "flush", "10.1.0.0/16")
    assert [row.what for row in fabric.drift(UPLINK)] == ["route"]
    fabric.apply_network(UPLINK)
    assert fabric.drift(UPLINK) == ()
    fabric.remove_network(UPLINK.id, UPLINK.bridge)
    assert "10.1.0.0/16 via 198.51.100.1 dev up0" in ip("route")


def test_a_route_of_several_hops_is_the_hosts_over_each_of_them(fabric):
    """A network takes no subnet that the host reaches through either."""
    ip("route", "add", "10.1.0.0/16", "nexthop", "via", "198.51.100.1", "dev", "up0", "nexthop", "via", "198.18.0.9", "dev", "up1")
    assert {link for cidr, link in fabric.host_network().routes if cidr == "10.1.0.0/16"} == {"up0", "up1"}
    meets = replace(PLAN, cidr4="10.1.2.0/24", gateway4="10.1.2.1", nics=())
    assert "overlaps_route" in [finding.code for finding in fabric.preflight(meets) if finding.fatal]
    fabric.apply_network(UPLINK)
    assert {link for cidr, link in fabric.host_network().routes if cidr == "10.1.0.0/16"} == {UPLINK.bridge, "up1"}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_move_is_refused_before_anything_changes(fabric, short_path, case):
    commands, word = REFUSED[case]
    Path("/proc/sys/net/ipv6/conf/up0/accept_ra").write_text("0")
    for command in commands:
        ip(*command.split())
    before = snapshot(short_path)
    fatal = [finding for finding in fabric.preflight(UPLINK) if finding.fatal]
    assert [finding.code for finding in fatal] == ["would_cut_off"]
    assert word in fatal[0].message
    with pytest.raises(FabricError) as caught:
        fabric.apply_network(UPLINK)
    assert (caught.value.code, caught.value.message) == ("would_cut_off", fatal[0].message)
    assert changes(before, snapshot(short_path)) == {}
    for command in commands:
        subprocess.run(["/usr/sbin/ip", *re.sub(r"\b(add|append)\b", "delete", command).split()], check=False, timeout=10)


@contextmanager
def advertised(pid: int, seconds: int, *answer: str) -> Iterator[None]:
    """The router has advertised itself once, and goes on to answer inside the block."""
    command = [sys.executable, advertiser.__file__, "far0", PREFIX, str(seconds), *answer]
    inside = ["/usr/bin/nsenter", f"--net=/proc/{pid}/ns/net", "--", *command]
    with subprocess.Popen(inside, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
        process.kill()


def learned(link: str) -> dict[int, int]:
    """Default routes by router advertisement: metric → seconds left (0: for ever)."""
    table = ip("-6", "route", "show", "default", "proto", "ra", "dev", link)
    return {int(metric): int(left or 0) for metric, left in re.findall(r"metric (\d+)(?: expires (\d+)sec)?", table)}


def lifetime(link: str) -> int:
    """Of its address by router advertisement, in seconds; 0 without one."""
    found = re.search(rf"{PREFIX.rstrip(':')}:[^\n]*\n\s*valid_lft (\d+)sec", run("ip", "-6", "address", "show", "dev", link))
    return int(found[1]) if found else 0


@pytest.fixture
def heard(router: int, fabric) -> None:
    """up0 has a router and an address by advertisement, for 1000 s."""
    ip("-6", "route", "delete", "default", "dev", "up0")
    until(lambda: "tentative" not in ip("-6", "address") + beyond(router, "ip", "-6", "address"))
    with advertised(router, 1000):
        until(lambda: learned("up0") and lifetime("up0"))


def test_what_was_advertised_moves_for_as_long_as_it_lives(fabric, router, heard):
    """Without an answer nothing is gained or lost: no route for ever, no gap, nothing left on the adapter."""
    fabric.apply_network(UPLINK)
    [left] = learned(UPLINK.bridge).values()
    assert 900 < left <= 1000
    assert 900 < lifetime(UPLINK.bridge) <= 1000
    assert PREFIX not in ip("-6", "route", "show", "dev", "up0")
    assert learned("up0") == {}
    assert fabric.drift(UPLINK) == ()
    fabric.remove_network(UPLINK.id, UPLINK.bridge)
    [left] = learned("up0").values()
    assert 900 < left <= 1000
    assert 900 < lifetime("up0") <= 1000


def test_the_router_is_asked_and_heard_on_the_bridge_and_again_on_the_adapter(fabric, router, heard):
    with advertised(router, 2000, "answer"):
        until(lambda: lifetime("up0") > 1900)
        fabric.apply_network(UPLINK)
        until(lambda: learned(UPLINK.bridge).get(1024, 0) > 1900)
    with advertised(router, 3000):  # the kernel goes on: address and route are renewed
        until(lambda: learned(UPLINK.bridge)[1024] > 2900 and lifetime(UPLINK.bridge) > 2900)
    with advertised(router, 0):  # a router that resigns is believed, and that is no drift
        until(lambda: 1024 not in learned(UPLINK.bridge))
    assert fabric.drift(UPLINK) == ()
    with advertised(router, 4000, "answer"):
        fabric.remove_network(UPLINK.id, UPLINK.bridge)
        until(lambda: learned("up0").get(1024, 0) > 3900 and lifetime("up0") > 3900)


def test_a_move_that_dies_at_any_step_loses_nothing(fabric, router, heard):
    """T1, INV-02. Routes with several hops, and what was advertised."""
    for line in MOVED.strip().splitlines():
        if "nexthop" in line:
            ip(*line.split())
    before = of_link("up0")
    steps = Steps()
    with watched(steps):
        fabric.apply_network(UPLINK)
    fabric.remove_network(UPLINK.id, UPLINK.bridge)
    for at in range(1, len(steps.seen) + 1):
        with watched(Steps(at, die)):
            assert in_a_child(lambda: fabric.apply_network(UPLINK)) == 9
        fabric.apply_network(UPLINK)
        assert learned(UPLINK.bridge), f"at step {at}"
        assert lifetime(UPLINK.bridge), f"at step {at}"
        fabric.remove_network(UPLINK.id, UPLINK.bridge)
        assert lasting(of_link("up0")) == lasting(before), f"at step {at}"
        assert learned("up0"), f"at step {at}"
        assert lifetime("up0"), f"at step {at}"


def test_giving_back_that_dies_at_any_step_loses_nothing(fabric, router, heard):
    """T1, INV-02: what is learned by now is kept on the bridge alone, so it is written down before the port goes."""
    ip("route", "add", "10.1.0.0/16", "nexthop", "via", "198.51.100.1", "dev", "up0", "nexthop", "via", "198.18.0.9", "dev", "up1")
    before = of_link("up0")
    fabric.apply_network(UPLINK)
    steps = Steps()
    with watched(steps):
        fabric.remove_network(UPLINK.id, UPLINK.bridge)
    for at in range(1, len(steps.seen) + 1):
        fabric.apply_network(UPLINK)
        with watched(Steps(at, die)):
            assert in_a_child(lambda: fabric.remove_network(UPLINK.id, UPLINK.bridge)) == 9
        fabric.remove_network(UPLINK.id, UPLINK.bridge)
        assert lasting(of_link("up0")) == lasting(before), f"at step {at}"
        assert learned("up0"), f"at step {at}"
        assert lifetime("up0"), f"at step {at}"


def lasting(lines: list[str]) -> list[str]:
    return [line for line in lines if "expires" not in line and PREFIX.rstrip(":") not in line]


@contextmanager
def struck(router: int, command: str) -> Iterator[None]:
    """Let `command` happen to the router as soon as up0 is a port, as a switch does that sees another MAC or a bridge."""
    real = routes.put

    def cut(*arguments):
        real(*arguments)
        if "master" in ip("link", "show", "dev", "up0"):
            beyond(router, *command.split())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("networks.fabric.routes.put", cut)
        yield


@pytest.mark.parametrize("families", ["IPv6 alone", "both"])
def test_an_ipv6_router_that_stops_answering_brings_all_back(fabric, router, short_path, families):
    if families == "IPv6 alone":
        beyond(router, "ip", "-4", "address", "flush", "dev", "far0")
    before = snapshot(short_path)
    with struck(router, "ip -6 address flush dev far0 scope global"), pytest.raises(FabricError) as caught:
        fabric.apply_network(UPLINK)
    assert caught.value.code == "would_cut_off"
    assert "2001:db8:1::1 stopped answering" in caught.value.message
    assert changes(before, snapshot(short_path)) == {}


def test_a_router_known_by_advertisement_that_stops_answering_brings_all_back(fabric, router, heard):
    [gateway] = re.findall(r"default via (fe80::\S+)", ip("-6", "route", "show", "default", "dev", "up0"))
    with struck(router, "ip -6 address flush dev far0"), pytest.raises(FabricError, match=f"{gateway} stopped answering"):
        fabric.apply_network(UPLINK)
    assert learned("up0")
    assert lifetime("up0")


def test_an_ipv6_router_that_never_answered_is_not_missed(fabric, router):
    ip("-6", "route", "add", "2001:db8:a::/48", "via", "2001:db8:1::77", "dev", "up0")
    ip("-6", "route", "add", "2001:db8:b::/48", "via", "fe80::77", "dev", "up0")
    fabric.apply_network(UPLINK)
    assert fabric.drift(UPLINK) == ()


def test_a_router_is_asked_by_each_of_its_hops(fabric, router):
    """Of a route with several: it is the one over the adapter that counts, of either family."""
    ip("route", "delete", "default")
    ip("-6", "route", "delete", "default", "dev", "up0")
    ip("route", "add", "default", "nexthop", "via", "198.51.100.254", "dev", "up0", "nexthop", "via", "198.18.0.9", "dev", "up1")
    with (
        struck(router, "ip address delete 198.51.100.254/24 dev far0"),
        pytest.raises(FabricError, match="198.51.100.254 stopped answering"),
    ):
        fabric.apply_network(UPLINK)
