"""dnsmasq's files against golden ones, and its leases read back. `GOLDEN=write` rewrites the files; review the diff."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from networks.fabric import dnsmasq_text
from networks.fabric.base import Lease, Mode
from networks.fabric.dnsmasq_text import Paths
from tests.unit.networks.test_network_values import ANN, BOB, PLAN

GOLDEN = Path(__file__).parent / "golden"
PATHS = Paths(Path("/run/opsweb/net/00000000-0000-0000-0000-000000000001"))
V4 = {"cidr6": "", "gateway6": "", "nics": (replace(BOB, address6=""),)}
PLANS = {
    "nat": PLAN,
    "nat_v4": replace(PLAN, **V4, resolvers=(), records=(), domain="", mtu=1400, lease_seconds=43_200),
    "isolated": replace(PLAN, mode=Mode.ISOLATED),
    "no_dhcp": replace(PLAN, dhcp=False),
    "uplink": replace(PLAN, mode=Mode.UPLINK, adapter="eth1", **V4),
    "wide": replace(PLAN, cidr4="10.32.0.0/12", gateway4="10.32.0.1", nics=(replace(BOB, address4="10.47.255.254"),)),
}


@pytest.mark.parametrize("name", PLANS)
def test_the_files_are_these(name):
    """T3."""
    plan = PLANS[name]
    parts = {
        "conf": dnsmasq_text.conf(plan, PATHS),
        "reservations": dnsmasq_text.reservations(plan),
        "hosts": dnsmasq_text.hosts(plan),
    }
    text = "".join(f"==> {part}\n{content}" for part, content in parts.items())
    file = GOLDEN / f"dnsmasq_{name}.txt"
    if os.environ.get("GOLDEN") == "write":
        file.write_text(text)
    assert text == file.read_text()


def test_an_uplink_without_dhcp_needs_none():
    assert not dnsmasq_text.is_needed(replace(PLANS["uplink"], dhcp=False))
    assert dnsmasq_text.is_needed(PLANS["uplink"])
    assert dnsmasq_text.is_needed(PLANS["no_dhcp"])


LEASES = """\
1795660355 02:00:00:00:00:01 192.168.33.19 bob 01:02:00:00:00:00:01
0 02:00:00:00:00:02 192.168.33.20 * *
duid 00:01:00:01:2f:6e:8f:5a:02:00:00:00:00:aa
1795660355 33554433 fd12:3456:789a::13 bob 00:03:00:01:02:00:00:00:00:01
"""


def test_leases_are_read():
    assert dnsmasq_text.leases(LEASES) == (
        Lease("02:00:00:00:00:01", "192.168.33.19", "bob", 1795660355.0),
        Lease("02:00:00:00:00:02", "192.168.33.20", "", None),
        Lease("", "fd12:3456:789a::13", "bob", 1795660355.0),
    )


@pytest.mark.parametrize(
    "line",
    [
        "",
        "soon 02:00:00:00:00:01 192.168.33.19 bob *",
        "1795660355 02:00:00:00:00:01 192.168.33.19 bob",
        "1795660355 02:00:00:00:00:01 192.168.33.999 bob *",
        "1795660355 <script> 192.168.33.19 bob *",
        "1795660355 02:00:00:00:00:01 192.168.33.19 bob and ann *",
        "99999999999999999999 02:00:00:00:00:01 192.168.33.19 bob *",
    ],
)
def test_a_broken_line_is_no_lease(line):
    assert dnsmasq_text.leases(f"{line}\n{LEASES}") == dnsmasq_text.leases(LEASES)


@pytest.mark.parametrize("name", ["<script>", "a;b", "bob\\032x", "-", "x" * 300, "имя"])
def test_a_hostile_name_is_left_out(name):
    """SEC-D1: a guest chooses what it sends."""
    assert dnsmasq_text.leases(f"1795660355 02:00:00:00:00:01 192.168.33.19 {name} *\n")[0].name == ""


def test_a_lease_against_the_reservations_is_stale():
    held = Lease(BOB.mac, BOB.address4, "bob", None)
    assert not dnsmasq_text.stale(PLAN, held)
    assert dnsmasq_text.stale(replace(PLAN, nics=(ANN,)), held)
    assert dnsmasq_text.stale(replace(PLAN, nics=(replace(ANN, address4=BOB.address4),)), held)
    held6 = Lease("", BOB.address6, "bob", None)
    assert not dnsmasq_text.stale(PLAN, held6)
    assert dnsmasq_text.stale(replace(PLAN, nics=(ANN,)), held6)


def test_reservations_read_back():
    assert dnsmasq_text.reserved6(dnsmasq_text.reservations(PLAN)) == {(nic.mac, nic.address6) for nic in PLAN.nics}
    assert dnsmasq_text.reserved6(dnsmasq_text.reservations(PLANS["nat_v4"])) == set()
