"""networks.addressing: what people write, what is refused by name, what comes next."""

from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from networks.addressing import (
    PRIVATE,
    RESERVED,
    USER_MODE,
    AddressingError,
    Subnet4,
    address6_for,
    default_pool,
    expanded,
    first_free_subnet,
    new_ula,
    next_free,
    parse_address4,
    parse_address6,
    parse_cidr4,
    parse_cidr6,
    parse_pool,
    refuse_overlap,
    refuse_public,
    refuse_reserved,
)


def refusal_of(call: Callable[[], Any]) -> AddressingError | None:
    try:
        call()
    except AddressingError as error:
        return error
    return None


@st.composite
def interfaces(draw: st.DrawFn) -> tuple[IPv4Address, IPv4Network]:
    """An address with a network around it that has room."""
    address = draw(st.ip_addresses(v=4))
    return address, IPv4Network((address, draw(st.integers(8, 29))), strict=False)


@st.composite
def subnets(draw: st.DrawFn) -> Subnet4:
    address, network = draw(interfaces().filter(lambda pair: pair[0] != pair[1].broadcast_address))
    return parse_cidr4(f"{address}/{network.prefixlen}")


@given(interfaces())
def test_both_ways_of_writing_a_network_are_read(pair: tuple[IPv4Address, IPv4Network]) -> None:
    address, network = pair
    if address == network.broadcast_address:
        with pytest.raises(AddressingError, match="broadcast"):
            parse_cidr4(f"{address}/{network.prefixlen}")
        return
    subnet = parse_cidr4(f"{address}/{network.prefixlen}")
    assert subnet.network == network
    assert subnet.gateway == (address + 1 if address == network.network_address else address)


@given(st.ip_addresses(v=4), st.integers(0, 32).filter(lambda length: not 8 <= length <= 29))
def test_other_prefix_lengths_are_refused(address: IPv4Address, length: int) -> None:
    with pytest.raises(AddressingError) as refusal:
        parse_cidr4(f"{address}/{length}")
    assert refusal.value.code == ("bad_cidr" if length < 8 else "no_room")


@given(st.text() | st.text("0123456789./:af ", max_size=20))
def test_whatever_is_written_is_read_or_refused_with_a_sentence(text: str) -> None:
    """SEC-D1: nothing else comes out, and what is read is written anew."""
    for parse in (parse_cidr4, parse_cidr6):
        refusal = refusal_of(partial(parse, text))
        if refusal is None:
            assert parse(text).gateway in parse(text).network
        else:
            assert refusal.message.endswith(".")
            assert len(refusal.message) < 300
            assert refusal.message.isprintable()


@pytest.mark.parametrize(
    "text", ["", "192.168.33.1", "192.168.33.1/24\n/8", "192.168.33.1/255.255.255.0", "192.168.33.256/24", "fd00::/64"]
)
def test_what_is_no_ipv4_network_is_refused(text: str) -> None:
    with pytest.raises(AddressingError) as refusal:
        parse_cidr4(text)
    assert refusal.value.code == "bad_cidr"


@pytest.mark.parametrize("text", ["", "fd00::1", "fd00::/48", "fd00::/65", "fe80::1%eth0/64", "192.168.33.0/24"])
def test_what_is_no_ipv6_network_is_refused(text: str) -> None:
    with pytest.raises(AddressingError) as refusal:
        parse_cidr6(text)
    assert refusal.value.code == "bad_cidr"


def test_an_ipv6_network_is_read() -> None:
    assert parse_cidr6("fd12:3456:789a::/64").gateway == IPv6Address("fd12:3456:789a::1")
    assert parse_cidr6("fd12:3456:789a::fe/64").gateway == IPv6Address("fd12:3456:789a::fe")


@given(subnets())
def test_the_default_pool_is_all_that_guests_may_have(subnet: Subnet4) -> None:
    first, last = default_pool(subnet)
    assert subnet.holds(first)
    assert subnet.holds(last)
    assert not subnet.holds(first - 1)
    assert not subnet.holds(last + 1)
    assert parse_pool(subnet, str(first), str(last)) == (first, last)


@given(subnets(), st.data())
def test_the_next_address_is_the_lowest_free_one(subnet: Subnet4, data: st.DataObject) -> None:
    first, last = default_pool(subnet)
    near = st.integers(int(first), min(int(last), int(first) + 20))
    taken = {str(IPv4Address(number)) for number in data.draw(st.sets(near))}
    free = [n for n in range(int(first), min(int(last), int(first) + 30) + 1) if str(IPv4Address(n)) not in taken]
    free = [n for n in free if IPv4Address(n) != subnet.gateway]
    if free:
        assert next_free(subnet, (first, last), taken) == IPv4Address(free[0])
    else:
        refusal = refusal_of(lambda: next_free(subnet, (first, last), taken))
        assert refusal is not None
        assert refusal.code == "no_address_left"


def test_a_pool_keeps_to_its_network() -> None:
    subnet = parse_cidr4("192.168.33.1/24")
    for first, last in (("192.168.33.0", "192.168.33.9"), ("192.168.33.9", "192.168.33.255"), ("192.168.33.9", "192.168.34.1")):
        with pytest.raises(AddressingError, match="not inside"):
            parse_pool(subnet, first, last)
    with pytest.raises(AddressingError, match="backwards"):
        parse_pool(subnet, "192.168.33.9", "192.168.33.8")
    with pytest.raises(AddressingError, match="no range"):
        parse_pool(subnet, "192.168.33.9", "")


@given(st.sets(st.integers(33, 255)))
def test_the_first_free_subnet_is_the_lowest(taken: set[int]) -> None:
    found = first_free_subnet([f"192.168.{number}.0/24" for number in taken])
    free = [number for number in range(33, 256) if number not in taken]
    assert found.network == IPv4Network(f"192.168.{free[0]}.0/24" if free else "172.16.0.0/24")
    assert found.gateway == found.network.network_address + 1


def test_a_larger_network_is_gone_round() -> None:
    """OPS takes 192.168.33.1 for each."""
    assert str(first_free_subnet([]).network) == "192.168.33.0/24"
    assert str(first_free_subnet(["192.168.32.0/20", "fd00::/8"]).network) == "192.168.48.0/24"
    assert str(first_free_subnet(["192.168.33.7"]).network) == "192.168.34.0/24"
    with pytest.raises(AddressingError) as refusal:
        first_free_subnet(["192.168.0.0/16", "172.16.0.0/12"])
    assert refusal.value.code == "no_subnet_left"


@pytest.mark.parametrize(("cidr", "what"), [*RESERVED, *USER_MODE])
def test_reserved_ranges_are_refused_by_name(cidr: str, what: str) -> None:
    """INV-09: no guest gets to own the metadata service or the loopback."""
    with pytest.raises(AddressingError) as refusal:
        refuse_reserved(ip_network(cidr))
    assert refusal.value.code == "reserved_range"
    if (cidr, what) in USER_MODE:
        refuse_reserved(ip_network(cidr), uplink=True)


@given(interfaces())
def test_no_network_meets_a_reserved_range_unseen(pair: tuple[IPv4Address, IPv4Network]) -> None:
    _, network = pair
    meets = any(network.overlaps(IPv4Network(cidr)) for cidr, _ in (*RESERVED, *USER_MODE) if ":" not in cidr)
    assert (refusal_of(lambda: refuse_reserved(network)) is not None) is meets


@given(interfaces())
def test_only_private_ranges_are_everybodys(pair: tuple[IPv4Address, IPv4Network]) -> None:
    """A network of the Internet's addresses would take them away from the host."""
    _, network = pair
    private = any(network.subnet_of(IPv4Network(cidr)) for cidr in PRIVATE if ":" not in cidr)
    assert (refusal_of(lambda: refuse_public(network)) is None) is private


def test_ipv6_has_its_private_range_too() -> None:
    refuse_public(new_ula().network)
    with pytest.raises(AddressingError, match="admin"):
        refuse_public(IPv6Network("2001:db8::/64"))


@given(interfaces(), interfaces())
def test_an_overlap_is_found_either_way_round(one: tuple[IPv4Address, IPv4Network], other: tuple[IPv4Address, IPv4Network]) -> None:
    def meets(network: IPv4Network, second: IPv4Network) -> bool:
        others = [("fd00::/64", "a stranger"), (str(second), "network br7")]
        refusal = refusal_of(lambda: refuse_overlap(network, others))
        return refusal is not None and "network br7" in refusal.message

    assert meets(one[1], other[1]) is meets(other[1], one[1]) is one[1].overlaps(other[1])


@given(st.data())
def test_a_ula_is_unique_enough_and_well_formed(data: st.DataObject) -> None:
    subnet = new_ula()
    assert subnet.network.subnet_of(IPv6Network("fd00::/8"))
    assert subnet.network.prefixlen == 64
    assert subnet.gateway == subnet.network.network_address + 1
    assert new_ula() != subnet


def test_an_ipv6_address_has_the_number_of_the_ipv4_one() -> None:
    subnet4, subnet6 = parse_cidr4("192.168.42.1/24"), parse_cidr6("fd00:42::/64")
    assert str(address6_for(subnet6, subnet4, IPv4Address("192.168.42.19"), [])) == "fd00:42::13"
    assert str(address6_for(subnet6, subnet4, IPv4Address("192.168.42.19"), ["fd00:42::13", "fd00:42::14"])) == "fd00:42::15"
    assert str(address6_for(subnet6, parse_cidr4("192.168.42.9/24"), IPv4Address("192.168.42.1"), [])) == "fd00:42::2"


@given(subnets(), st.data())
def test_no_ipv6_address_is_given_twice(subnet: Subnet4, data: st.DataObject) -> None:
    first, last = default_pool(subnet)
    subnet6, taken = new_ula(), set()
    for _ in range(8):
        address4 = IPv4Address(data.draw(st.integers(int(first), int(last))))
        address6 = address6_for(subnet6, subnet, address4, taken)
        assert subnet6.holds(address6)
        assert str(address6) not in taken
        taken.add(str(address6))


@pytest.mark.parametrize("text", ["192.168.42.0", "192.168.42.255", "192.168.42.1", "192.168.43.1", "x", "", "fd00::1"])
def test_a_guest_does_not_get_what_is_not_for_guests(text: str) -> None:
    """INV-08: not the gateway's address, for one."""
    with pytest.raises(AddressingError) as refusal:
        parse_address4(parse_cidr4("192.168.42.1/24"), text)
    assert refusal.value.code == "bad_address"


def test_the_seeds_own_addresses_are_fine() -> None:
    subnet = parse_cidr4("192.168.42.1/24")
    assert [str(parse_address4(subnet, f"192.168.42.{n}")) for n in (19, 20)] == ["192.168.42.19", "192.168.42.20"]


@pytest.mark.parametrize("text", ["fd00:42::", "fd00:42::1", "fd00:43::5", "fd00:42::5%eth0", "x", "192.168.42.19"])
def test_the_same_in_ipv6(text: str) -> None:
    with pytest.raises(AddressingError) as refusal:
        parse_address6(parse_cidr6("fd00:42::1/64"), text)
    assert refusal.value.code == "bad_address"
    assert str(parse_address6(parse_cidr6("fd00:42::1/64"), "fd00:42:0:0::5")) == "fd00:42::5"


@given(st.ip_addresses(v=6))
def test_expanded_has_all_digits(address: IPv6Address) -> None:
    text = expanded(str(address))
    assert len(text) == 39
    assert "::" not in text
    assert IPv6Address(text) == address
