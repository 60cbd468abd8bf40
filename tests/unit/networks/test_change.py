"""What will change, as text: complete for a new network, the difference for one that is there."""

from dataclasses import replace
from uuid import UUID

import pytest

from networks.change import Section, difference
from networks.fabric.base import Mode, NetworkPlan, NicPlan, RulePlan

WEB = NicPlan("ow1a2b0000000at", "02:00:00:00:00:0a", "web", "192.168.33.19")
LAN = NetworkPlan(
    UUID(int=1), "lan", "ow1a2b00000001b", Mode.NAT, "192.168.33.0/24", "192.168.33.1", domain="lan.internal", nics=(WEB,)
)  # fmt: skip


def section(sections: list[Section], title: str) -> list[str]:
    """Its lines with their marks."""
    (found,) = [one for one in sections if one.title == title]
    return [f"{line.mark} {line.text}" for line in found.lines]


def test_a_new_network_is_told_whole() -> None:
    sections = difference(None, LAN)
    assert [one.title for one in sections] == ["Links", "Addresses", "Filter", "dnsmasq", "Reservations", "Names"]
    assert section(sections, "Links")[0] == "+ bridge ow1a2b00000001b mtu 1500 up"
    assert section(sections, "Addresses") == ["+ 192.168.33.1/24 dev ow1a2b00000001b"]
    assert section(sections, "Reservations") == ["+ 02:00:00:00:00:0a,192.168.33.19,web"]
    assert all(line.mark == "+" for one in sections for line in one.lines)


def test_the_filter_is_told_without_what_every_network_has() -> None:
    lines = section(difference(None, LAN), "Filter")
    assert any("192.168.33.19" in line and line.startswith("+ set ") for line in lines)
    assert not any("10.255.255" in line or "policy accept" in line for line in lines)


def test_nothing_changes_says_nothing() -> None:
    assert difference(LAN, LAN) == []


def test_a_change_shows_what_goes_and_what_comes_and_little_around_it() -> None:
    sections = difference(LAN, replace(LAN, mtu=9000, lease_seconds=600))
    assert [one.title for one in sections] == ["Links", "dnsmasq"]
    assert section(sections, "Links")[:2] == ["- bridge ow1a2b00000001b mtu 1500 up", "+ bridge ow1a2b00000001b mtu 9000 up"]
    assert "… " in section(sections, "dnsmasq")[0][:2]


def test_a_rule_is_told_as_lines_of_the_filter() -> None:
    rule = RulePlan(UUID(int=7), allow=False, inbound=True, protocol="tcp", ports=(22, 22))
    sections = difference(LAN, replace(LAN, nics=(replace(WEB, rules=(rule,)),)))
    assert [one.title for one in sections] == ["Filter"]
    assert any("22" in line and "drop" in line for line in section(sections, "Filter") if line.startswith("+"))


@pytest.mark.parametrize("mode", list(Mode))
def test_every_mode_can_be_told(mode: Mode) -> None:
    plan = replace(LAN, mode=mode, adapter="eth1" if mode is Mode.UPLINK else "", dhcp=mode is not Mode.UPLINK)
    titles = {one.title for one in difference(None, plan)}
    assert {"Links", "Addresses", "Filter"} <= titles
    assert ("dnsmasq" in titles) is (mode is not Mode.UPLINK)
