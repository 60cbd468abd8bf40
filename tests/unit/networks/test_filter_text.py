"""The packet filter's nft text against golden files, and the values it refuses. `GOLDEN=write` rewrites the files; review the diff."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from networks.fabric.base import Counts, Endpoint, FabricError, ForwardPlan, NicCounts
from networks.fabric.filter import render, render_removal
from networks.fabric.filter_rules import counter_name, rule_of
from networks.fabric.filter_values import link_local
from tests.unit.networks.plans import ALL, DUAL, ISOLATED, NAT, PLAIN, REST, RULED, TAG, UPLINK, WEB, rule

GOLDEN = Path(__file__).parent / "golden"
COUNTS = Counts(nics={PLAIN.tap: NicCounts((1, 60), (2, 120), (3, 180))}, rules={WEB.id: (4, 240)})
LOCAL = ForwardPlan(Endpoint("tcp", "127.0.0.1", 80), 80)
CASES = {
    "none": (),
    "plain": (replace(NAT, nics=(PLAIN,), linked=(), cidr6="", gateway6=""),),
    "isolated": (ISOLATED,),
    "all": ALL,
}


@pytest.mark.parametrize("name", CASES)
def test_text_is_golden(name):
    """T3."""
    path = GOLDEN / f"filter_{name}.nft"
    text = render(TAG, CASES[name], COUNTS)
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


def test_order_of_values_changes_nothing():
    backwards = tuple(replace(plan, nics=tuple(reversed(plan.nics))) for plan in reversed(ALL))
    assert render(TAG, backwards) == render(TAG, ALL)


def test_spellings_of_a_value_change_nothing():
    nic = replace(DUAL, mac=DUAL.mac.upper(), address6="fd12:3456:789a:0:0::3")
    assert render(TAG, (replace(NAT, nics=(nic,)),)) == render(TAG, (replace(NAT, nics=(DUAL,)),))


def test_without_networks_there_are_no_tables():
    """INV-22."""
    assert render(TAG, ()) == render_removal(TAG)
    tables = ("bridge ow1a2b_taps", "inet ow1a2b_nets")
    assert render_removal(TAG).splitlines() == [f"{verb} table {table}" for table in tables for verb in ("add", "delete")]


def test_nics_with_the_same_rules_share_a_chain():
    """200 NICs under a network's ten rules cost ten rules, not two thousand."""
    rules = tuple(rule(number) for number in range(10, 20))
    nics = [
        replace(PLAIN, tap=f"ow1a2b{n:08x}t", mac=f"02:00:00:00:00:{n:02x}", address4=f"192.168.33.{n}", rules=rules) for n in range(2, 202)
    ]
    text = render(TAG, (replace(NAT, nics=tuple(nics)),))
    assert text.count(f"counter name {counter_name(rules[0].id)}") == 2  # once in each table


def test_of_two_lists_the_firm_one_judges_before():
    """NICs under the same firm list share its chain, whatever their own rules are; one without rules of its own goes straight to it."""
    firm, own = (rule(10, inbound=True),), (rule(11, allow=True, inbound=True),)
    text = render(TAG, (replace(NAT, nics=(replace(PLAIN, firm=firm, rules=own), replace(DUAL, firm=firm))),))
    nets = text[text.index("table inet ow1a2b_nets {") :]
    assert nets.count(f"counter name {counter_name(firm[0].id)} drop") == 1
    assert f"jump in_1\n\t\tcounter name {counter_name(own[0].id)} return" in nets
    assert f"{PLAIN.address4} : jump in_2" in nets
    assert f"{DUAL.address4} : jump in_1" in nets


def test_a_rule_for_nobody_fits_nothing():
    """SEC-F3: an empty group is nobody, not everybody."""
    nobody = rule(9, allow=True, peers=())
    text = render(TAG, (replace(NAT, nics=(replace(PLAIN, rules=(nobody, REST)),)),))
    assert f"counter name {counter_name(nobody.id)}" not in text
    assert text.count(f"counter name {counter_name(REST.id)} drop") == 2


def test_a_link_to_a_network_that_is_gone_links_nothing():
    assert '"ow1a2b00000003b"' not in render(TAG, (NAT,))


def test_link_local():
    """RFC 4291, appendix A: 34:56:78:9A:BC:DE makes 3656:78ff:fe9a:bcde."""
    assert link_local("34:56:78:9a:bc:de") == "fe80::3656:78ff:fe9a:bcde"


def test_a_rules_counter_leads_back_to_it():
    assert rule_of(counter_name(WEB.id)) == WEB.id
    assert rule_of(f"{PLAIN.tap}_in") is None


@pytest.mark.parametrize("tag", ["", "1A2B", "1a2", "1a2b5", "1a2b\n", "x;{}"])
def test_a_tag_is_four_hex_digits(tag):
    with pytest.raises(FabricError, match="tag"):
        render(tag, ())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bridge": "eth0"}, "'eth0' is no bridge"),
        ({"bridge": "owffff00000001b"}, "no bridge of installation 1a2b"),
        ({"linked": ("eth0",)}, "'eth0' is no bridge"),
        ({"mode": "nat } accept"}, "no mode"),
        ({"uid": -1}, "no user id"),
        ({"uid": "0 } accept"}, "no user id"),
        ({"resolvers": ("192.0.2.0/24",)}, "is no address"),
        ({"resolvers": ("fe80::1%eth0",)}, "no address or CIDR"),
        ({"cidr4": "192.168.33.0/33"}, "no address or CIDR"),
        ({"cidr4": "fd00::/64"}, "no IPv4 network"),
        ({"cidr6": "192.168.33.0/24"}, "no IPv6 network"),
        ({"gateway4": "192.168.34.1"}, "'192.168.34.1' is not in 192.168.33.0/24"),
        ({"gateway4": "192.168.33.2"}, "its gateway's"),
        ({"gateway4": "192.168.33.0"}, "first or last"),
        ({"gateway6": "fd12:3456:789a::3"}, "its gateway's"),
        ({"gateway6": "fe80::1%eth0"}, "no address or CIDR"),
        ({"cidr6": "", "gateway6": ""}, "without IPv6"),
    ],
)
def test_refuses_networks_that_are_not_what_they_should_be(changes, words):
    _refused((replace(NAT, **changes),), words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tap": "tap0"}, "'tap0' is no tap"),
        ({"mac": "01:00:5e:00:00:01"}, "no MAC address of one adapter"),
        ({"mac": "ff:ff:ff:ff:ff:ff"}, "no MAC address of one adapter"),
        ({"mac": "02:00:00:00:00"}, "no MAC address of one adapter"),
        ({"mac": PLAIN.mac}, "MAC address 02:00:00:00:00:0a is given twice"),
        ({"address4": "192.168.34.2"}, "is not in 192.168.33.0/24"),
        ({"address4": "192.168.33.1"}, "its gateway's"),
        ({"address4": "192.168.33.255"}, "first or last"),
        ({"address4": "192.168.33.9/32"}, "is not in"),
        ({"address4": "192.168.33.2"}, "address 192.168.33.2 is given twice"),
        ({"address6": "2001:db8::3"}, "is not in fd12:3456:789a::/64"),
        ({"rate_kbit": -1}, "is no rate"),
        ({"rate_kbit": "1"}, "is no rate"),
        ({"rate_kbit": True}, "is no rate"),
        ({"rules": (rule(1, protocol="gre"),)}, "'gre' is none of"),
        ({"rules": (rule(1, protocol="any", ports=(1, 2)),)}, "any has no ports"),
        ({"rules": (rule(1, protocol="tcp", ports=(2, 1)),)}, "no range of ports"),
        ({"rules": (rule(1, protocol="tcp", ports=(0, 1)),)}, "0 is not a port"),
        ({"rules": (rule(1, protocol="tcp", ports=(1, 65536)),)}, "65536 is not a port"),
        ({"rules": (rule(1, protocol="tcp", ports=()),)}, "no range of ports"),
        ({"rules": (rule(1, peers=("bob",)),)}, "'bob' is no address or CIDR"),
        ({"rules": (rule(1, peers=("10.0.0.0/8 } accept",)),)}, "no address or CIDR"),
        ({"rules": (rule(1, allow="no"),)}, "is no rule"),
        ({"firm": (rule(1, allow="no"),)}, "is no rule"),
        ({"rules": (replace(rule(1), id="1 } accept"),)}, "is no rule"),
        ({"forwards": (ForwardPlan(Endpoint("tcp", "::1", 80), 80),)}, "not an IPv4 address"),
        ({"forwards": (replace(LOCAL, guest_port=0),)}, "0 is not a port"),
        ({"forwards": (ForwardPlan(Endpoint("sctp", "127.0.0.1", 80), 80),)}, "neither tcp nor udp"),
        (
            {"forwards": (ForwardPlan(Endpoint("tcp", "127.0.0.1", 80), 80), ForwardPlan(Endpoint("tcp", "0.0.0.0", 80), 81))},
            "forwarded twice",
        ),
    ],
)
def test_refuses_nics_that_are_not_what_they_should_be(changes, words):
    _refused((replace(NAT, nics=(PLAIN, replace(DUAL, **changes))),), words)


@pytest.mark.parametrize(
    ("networks", "words"),
    [
        ((NAT, NAT), "bridge ow1a2b00000001b is given twice"),
        ((NAT, replace(ISOLATED, nics=(replace(ISOLATED.nics[0], tap=PLAIN.tap),))), "tap ow1a2b0000000at is given twice"),
        ((NAT, replace(UPLINK, nics=(replace(UPLINK.nics[0], forwards=RULED.forwards),))), "forwarded twice"),
    ],
)
def test_refuses_what_two_networks_cannot_both_have(networks, words):
    _refused(networks, words)


def _refused(networks, words):
    with pytest.raises(FabricError) as caught:
        render(TAG, networks)
    assert caught.value.code == "bad_network"
    assert words in caught.value.message
