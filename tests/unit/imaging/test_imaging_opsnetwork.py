"""RunConfig's bridged networking: taken as OPS writes it, refused with the field where OPS would blank it."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.imaging.opsconfig import ConfigError, read
from instances.imaging.opsnetwork import CHECKS, Bridging, NicWish


def bridging(**run):
    return read({"RunConfig": run}).bridging


def refusal(**run):
    with pytest.raises(ConfigError) as caught:
        bridging(**run)
    return caught.value


def test_the_documents_own_sample():
    config = read({"RunConfig": {"Bridged": True, "TapName": "tap1", "BridgeName": "br1"}})
    assert config.bridging == Bridging(bridged=True, tap_name="tap1", bridge_name="br1")
    assert config.notes == ()


def test_every_field_in_any_case():
    found = bridging(
        bridged=True, IPADDRESS="192.168.42.19", ipv6address="FD00:0::13", NetMask="255.255.255.0", gateway="192.168.42.1",
        BridgeIPAddress="192.168.42.66", Nics=[{"ipaddress": "10.1.0.9", "NetMask": "/16", "bridgename": "lab"}, {}],
    )  # fmt: skip
    assert found == Bridging(
        bridged=True,
        ip_address="192.168.42.19",
        ipv6_address="fd00::13",
        net_mask="255.255.255.0",
        gateway="192.168.42.1",
        bridge_ip_address="192.168.42.66",
        nics=(NicWish(ip_address="10.1.0.9", net_mask="255.255.0.0", bridge_name="lab"), NicWish()),
    )


@pytest.mark.parametrize(
    ("field", "value", "mend"),
    [
        ("IPAddress", "192.168.42.300", "192.168.42.19"),
        ("IPAddress", "192.168.42.19/24", "192.168.42.19"),
        ("IPAddress", "127.0.0.1", "a private one"),
        ("IPAddress", "224.0.0.1", "a private one"),
        ("IPAddress", "fd00::1", "192.168.42.19"),
        ("IPv6Address", "192.168.42.19", "fd12:3456:789a::13"),
        ("IPv6Address", "fe80::1", "fd12:3456:789a::13"),
        ("IPv6Address", "fd00::1%eth0", "fd12:3456:789a::13"),
        ("IPv6Address", "::ffff:10.0.0.1", "fd12:3456:789a::13"),
        ("NetMask", "255.0.255.0", "255.255.255.0"),
        ("NetMask", "0.0.0.255", "255.255.255.0"),
        ("NetMask", "33", "255.255.255.0"),
        ("Gateway", "router", "192.168.42.19"),
        ("BridgeIPAddress", "0.0.0.0", "a private one"),
        ("TapName", "tap_0", "tap0"),
        ("TapName", "../../dev/tun", "tap0"),
        ("BridgeName", "eth0; reboot", "br0"),
    ],
)
def test_what_ops_would_blank_is_an_error_with_the_field(field, value, mend):
    """SEC-C2, SEC-D1."""
    error = refusal(**{field: value})
    assert (error.code, error.field) == ("bad_value", f"RunConfig.{field}")
    assert mend in error.mend
    assert error.mend in error.message


def test_a_wrong_address_of_a_further_nic_names_its_place():
    error = refusal(Bridged=True, Nics=[{}, {"IPAddress": "10.0.0"}])
    assert error.field == "RunConfig.Nics[1].IPAddress"


@pytest.mark.parametrize("run", [{"Bridged": "true"}, {"TapName": 7}, {"Nics": {}}, {"Nics": [7]}, {"Nics": [{}] * 9}])
def test_a_value_of_another_kind_is_refused(run):
    assert refusal(**run).code == "bad_value"


def test_empty_texts_say_nothing():
    assert bridging(TapName="", IPAddress="", Nics=[]) == Bridging()


def test_who_says_something_wins_and_the_rest_is_filled_in():
    config = Bridging(bridged=True, bridge_name="br1", ip_address="10.0.0.9")
    assert Bridging(ip_address="10.0.0.7").over(config) == Bridging(bridged=True, bridge_name="br1", ip_address="10.0.0.7")
    assert Bridging(bridged=False).over(config).bridged is False


@given(
    st.builds(
        Bridging,
        bridged=st.none() | st.booleans(),
        tap_name=st.sampled_from(["", "tap0"]),
        nics=st.lists(st.builds(NicWish, ip_address=st.sampled_from(["", "10.0.0.9"])), max_size=3).map(tuple),
    )
)
def test_a_column_gives_back_what_was_put_in(wish):
    assert Bridging.from_json(wish.as_json()) == wish


@given(st.sampled_from(sorted(CHECKS)), st.text(max_size=20))
def test_any_text_is_a_value_or_a_sentence(name, text):
    """SEC-D1: nothing else comes through, and what does is a word of its own kind."""
    with suppress(ValueError):
        found = CHECKS[name](text)
        assert CHECKS[name](found) == found
        assert found.isascii()
        assert not set(found) & set(" ,;\n\t\"'/")
