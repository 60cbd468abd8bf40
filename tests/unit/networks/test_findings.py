"""What a preflight says of a network beside the host's own links and routes."""

from dataclasses import replace

import pytest

from networks.fabric import findings, host
from networks.fabric.base import Adapter, HostNetwork, Mode
from tests.unit.networks.test_network_values import PLAN

HOST = HostNetwork(
    routes=(("10.0.0.0/24", "eth0"), ("2001:db8::/64", "eth0")),
    adapters=(Adapter("eth0", ("10.0.0.5/24",), is_up=True), Adapter("eth1", (), is_up=False)),
)
UPLINK = replace(PLAN, mode=Mode.UPLINK, adapter="eth0", cidr4="10.0.0.0/24", gateway4="10.0.0.1", cidr6="", gateway6="", nics=())


def codes(plan, of=HOST):
    return [(finding.code, finding.fatal) for finding in findings.of_host(plan, of)]


def test_a_subnet_apart_meets_nothing():
    assert codes(PLAN) == []


@pytest.mark.parametrize("route", ["192.168.33.0/24", "192.168.0.0/16", "192.168.33.128/25", "fd12::/16"])
def test_a_route_that_it_meets_forbids_it(route):
    found = findings.of_host(PLAN, HostNetwork(routes=((route, "tun0"),), adapters=()))
    assert [(finding.code, finding.fatal) for finding in found] == [("overlaps_route", True)]
    assert route in found[0].message
    assert "tun0" in found[0].message


def test_an_uplink_has_the_subnet_of_its_adapter():
    assert codes(UPLINK) == [("moves_addresses", False)]
    assert codes(replace(UPLINK, adapter="eth1")) == [("overlaps_route", True), ("adapter_without_link", True)]
    assert codes(replace(UPLINK, adapter="eth7"), HostNetwork((), ())) == [("no_such_adapter", True)]


@pytest.mark.parametrize(
    ("file", "text", "cloud"),
    [
        ("sys_vendor", "Amazon EC2\n", "Amazon EC2"),
        ("product_name", "Google Compute Engine\n", "Google Cloud"),
        ("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77\n", "Microsoft Azure"),
        ("sys_vendor", "QEMU\n", ""),
    ],
)
def test_the_firmware_names_the_cloud(tmp_path, file, text, cloud):
    (tmp_path / file).write_text(text)
    assert host.platform(tmp_path) == cloud


def test_no_firmware_no_cloud(tmp_path):
    assert host.platform(tmp_path) == ""
