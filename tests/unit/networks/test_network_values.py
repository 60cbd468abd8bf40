"""What a network's plan may hold: each value that is none is refused by name, before anything is touched (INV-11, SEC-D1)."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from networks.fabric import dnsmasq_text, values
from networks.fabric.base import FabricError, Mode, NetworkPlan, NicPlan

BOB = NicPlan("owc0de00000001t", "02:00:00:00:00:01", "bob", "192.168.33.19", "fd12:3456:789a::13")
ANN = NicPlan("owc0de00000002t", "02:00:00:00:00:02", "ann", "192.168.33.20", "fd12:3456:789a::14")
PLAN = NetworkPlan(
    id=UUID(int=1),
    name="br0",
    bridge="owc0de0000000ab",
    mode=Mode.NAT,
    cidr4="192.168.33.0/24",
    gateway4="192.168.33.1",
    cidr6="fd12:3456:789a::/64",
    gateway6="fd12:3456:789a::1",
    domain="net.internal",
    resolvers=("192.0.2.53", "2001:db8::53"),
    records=(("db", "192.168.33.200"),),
    nics=(BOB, ANN),
    uid=900001,
)
BAD = [
    ("id", "1"),
    ("bridge", "br0"),
    ("bridge", "owbeef0000000ab"),  # another installation's
    ("bridge", "owc0de0000000at"),
    ("mode", "nat; reboot"),
    ("cidr4", "192.168.33.1/24"),
    ("cidr4", "192.168.33.0/255.255.255.0"),
    ("cidr4", "192.168.33.0/31"),
    ("cidr4", "0.0.0.0/8"),
    ("cidr4", "127.0.0.0/8"),
    ("cidr4", "224.0.0.0/24"),
    ("cidr4", "169.254.0.0/16"),
    ("cidr4", "240.0.0.0/8"),
    ("cidr4", ""),
    ("gateway4", "192.168.34.1"),
    ("gateway4", "192.168.33.0"),
    ("gateway4", "192.168.33.255"),
    ("gateway4", "192.168.33.01"),
    ("gateway4", "192.168.33.19"),  # bob's
    ("cidr6", "fd12:3456:789a::/48"),
    ("cidr6", "fd12:3456:789A::/64"),
    ("cidr6", "fe80::/64"),
    ("cidr6", ""),
    ("gateway6", ""),
    ("gateway6", "fd12:3456:789a::"),
    ("gateway6", "fd12:3456:789b::1"),
    ("adapter", "eth0"),  # of a network that is no uplink
    ("mtu", 1279),
    ("mtu", 9001),
    ("mtu", "1500"),
    ("lease_seconds", 12),
    ("lease_seconds", True),
    ("domain", "Net.internal"),
    ("domain", "net..internal"),
    ("domain", "net.internal\nconf-file=/etc/passwd"),
    ("domain", "net.internal,192.168.0.0/16"),
    ("domain", "a" * 64),
    ("resolvers", ("192.0.2.53#5353",)),
    ("resolvers", ("/evil/192.0.2.53",)),
    ("resolvers", ("fe80::1%eth0",)),
    ("resolvers", ("0.0.0.0",)),
    ("records", (("db\n1.2.3.4 bank", "192.168.33.200"),)),
    ("records", (("db", "192.168.33.200 bank"),)),
    ("records", (("-db", "192.168.33.200"),)),
    ("uid", 0),
    ("uid", 2**32 - 1),
    ("uid", "900001"),
]
BAD_NICS = [
    ("tap", "tap0"),
    ("tap", "owbeef00000001t"),
    ("mac", "02:00:00:00:00:0A"),
    ("mac", "03:00:00:00:00:01"),  # a group's
    ("mac", "02:00:00:00:00:01,set:known"),
    ("name", "bob,192.168.33.1"),
    ("name", "bob\n"),
    ("name", ""),
    ("address4", "192.168.34.19"),
    ("address4", "192.168.33.1"),
    ("address4", "192.168.33.255"),
    ("address4", ""),
    ("address6", "fd12:3456:789a:0::13"),
    ("address6", "fd12:3456:789a::1"),
    ("address6", "fd12:3456:789b::13"),
    ("address4", ANN.address4),
    ("address6", ANN.address6),
    ("mac", ANN.mac),
    ("tap", ANN.tap),
    ("rate_kbit", -1),
]
HOSTILE = st.text(max_size=40) | st.sampled_from(["a\nb", "a,b", "-a", "a b", "#", "/etc", "a=b", "[::1]", "\x00", "ａ"])


def refused(plan: NetworkPlan) -> FabricError:
    with pytest.raises(FabricError) as caught:
        values.check(plan, "c0de")
    assert caught.value.code == "bad_network"
    return caught.value


def test_a_good_plan_passes():
    values.check(PLAN, "c0de")
    values.check(replace(PLAN, cidr6="", gateway6="", nics=(replace(BOB, address6=""),)), "c0de")
    values.check(replace(PLAN, mode=Mode.UPLINK, adapter="enp0s31f6"), "c0de")


@pytest.mark.parametrize(("field", "value"), BAD)
def test_a_bad_value_is_refused(field, value):
    assert refused(replace(PLAN, **{field: value})).message.endswith(".")


@pytest.mark.parametrize(("field", "value"), BAD_NICS)
def test_a_bad_value_of_a_nic_is_refused(field, value):
    refused(replace(PLAN, nics=(replace(BOB, **{field: value}), ANN)))


@pytest.mark.parametrize("adapter", ["", "lo", "owc0de0000000ab", "../eth0", "eth0 eth1", "a" * 16])
def test_an_uplink_needs_an_adapter_of_the_host(adapter):
    refused(replace(PLAN, mode=Mode.UPLINK, adapter=adapter))


def test_an_address6_needs_a_prefix():
    refused(replace(PLAN, cidr6="", gateway6=""))


def test_the_sentence_names_the_value():
    assert refused(replace(PLAN, gateway4="192.168.34.1")).message == (
        "The gateway '192.168.34.1' is not an address that 192.168.33.0/24 leaves for it."
    )


@given(field=st.sampled_from(["domain", "resolvers", "records", "name", "mac", "address4", "address6"]), text=HOSTILE)
def test_no_text_becomes_a_second_line_or_option(field, text):
    """SEC-D1: whatever passes the check leaves the number of lines and their shape alone."""
    if field in ("domain", "resolvers", "records"):
        wanted = {"domain": text, "resolvers": (text,), "records": ((text, "192.168.33.200"),)}[field]
        plan = replace(PLAN, **{field: wanted})
    else:
        plan = replace(PLAN, nics=(replace(BOB, **{field: text}), ANN))
    try:
        values.check(plan, "c0de")
    except FabricError:
        return
    reservations = dnsmasq_text.reservations(plan).splitlines()
    assert [line.count(",") for line in reservations] == [line.count("[") + 2 for line in reservations]
    assert len(dnsmasq_text.hosts(plan).splitlines()) == len(plan.records) + sum(1 + bool(nic.address6) for nic in plan.nics)
    assert all(line.isascii() and line.isprintable() for line in reservations + dnsmasq_text.hosts(plan).splitlines())
