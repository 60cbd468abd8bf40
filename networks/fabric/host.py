"""What the host's own network and machine are: read from netlink, /proc and /sys, nothing of it ours."""

from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any

from networks.fabric import files, names, netlink, routes
from networks.fabric.base import Adapter, HostNetwork

_DMI = Path("/sys/class/dmi/id")
_LOCAL_TABLE, _UNICAST, _KERNEL = 255, 1, 2  # RT_TABLE_LOCAL, RTN_UNICAST, RTPROT_KERNEL
_ADAPTER_KINDS = ("", "veth", "dummy", "vlan", "team")  # what can become a port; "": real hardware

# How clouds name themselves in DMI: (file, beginning) → cloud. From their own documents on detecting an instance.
_CLOUDS = {
    ("sys_vendor", "Amazon EC2"): "Amazon EC2",
    ("product_name", "Google Compute Engine"): "Google Cloud",
    ("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77"): "Microsoft Azure",
    ("chassis_asset_tag", "OracleCloud.com"): "Oracle Cloud",
    ("product_name", "Alibaba Cloud ECS"): "Alibaba Cloud",
    ("sys_vendor", "DigitalOcean"): "DigitalOcean",
    ("sys_vendor", "Hetzner"): "Hetzner Cloud",
    ("sys_vendor", "Vultr"): "Vultr",
    ("sys_vendor", "Scaleway"): "Scaleway",
    ("sys_vendor", "UpCloud"): "UpCloud",
    ("sys_vendor", "Akamai"): "Linode",
    ("sys_vendor", "Linode"): "Linode",
    ("product_name", "OpenStack"): "OpenStack",
    ("sys_vendor", "IBM:Cloud"): "IBM Cloud",
    ("chassis_asset_tag", "ibmcloud"): "IBM Cloud",
    ("sys_vendor", "Tencent Cloud"): "Tencent Cloud",
    ("chassis_asset_tag", "HUAWEICLOUD"): "Huawei Cloud",
}


def network(installation: str) -> HostNetwork:
    """The host's routes, adapters and cloud, without what is this installation's."""
    with netlink.opened("tell about the host's network") as ip:
        links = {row["index"]: row for row in ip.get_links()}
        own = {index for index, row in links.items() if _is_ours(row, installation)}
        addresses = [row for row in ip.get_addr() if row["index"] not in own]
        # A network of ours has its own subnet and no other route. What leads on through its bridge came from an uplink's adapter.
        rows = [row for row in ip.get_routes() if row["proto"] != _KERNEL or not routes.links_of(row) & own]
    found = {(cidr, link) for row in rows if (cidr := _destination(row)) for link in routes.links_of(row) & links.keys()}
    found |= {(str(ip_interface(netlink.address_of(row)).network), row["index"]) for row in addresses}
    kept = ((cidr, links[index].get_attr("IFLA_IFNAME")) for cidr, index in found if _counts(cidr))
    adapters = (_adapter(row, addresses) for row in links.values() if _may_be_uplink(row) and row["index"] not in own)
    return HostNetwork(tuple(sorted(kept)), tuple(sorted(adapters, key=lambda adapter: adapter.name)), platform())


def platform(directory: Path = _DMI) -> str:
    """The cloud that the machine's firmware names; "" elsewhere."""
    for (name, beginning), cloud in _CLOUDS.items():
        if (files.read(directory / name) or "").startswith(beginning):
            return cloud
    return ""


def boot_id() -> str:
    """Another one after each boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def is_wireless(name: str) -> bool:
    """By sysfs, which knows the links of the network namespace that it was mounted in."""
    return Path(f"/sys/class/net/{name}/wireless").is_dir() or Path(f"/sys/class/net/{name}/phy80211").exists()


def _is_ours(row: Any, installation: str) -> bool:
    name = row.get_attr("IFLA_IFNAME")
    return names.is_bridge(name, installation) or names.is_tap(name, installation)


def _destination(row: Any) -> str:
    table, dst = row.get_attr("RTA_TABLE") or row["table"], row.get_attr("RTA_DST")
    return f"{dst}/{row['dst_len']}" if dst and row["type"] == _UNICAST and table != _LOCAL_TABLE else ""


def _counts(cidr: str) -> bool:
    found = ip_network(cidr, strict=False)
    return bool(found.prefixlen) and not found.is_link_local and not found.is_multicast and not found.is_loopback


def _may_be_uplink(row: Any) -> bool:
    return row.get_attr("IFLA_IFNAME") != "lo" and row["ifi_type"] == 1 and netlink.kind(row) in _ADAPTER_KINDS


def _adapter(row: Any, addresses: list[Any]) -> Adapter:
    own = [netlink.address_of(address) for address in addresses if address["index"] == row["index"]]
    shown = tuple(sorted(address for address in own if not ip_interface(address).is_link_local))
    return Adapter(row.get_attr("IFLA_IFNAME"), shown, bool(row["flags"] & netlink.UP) and row.get_attr("IFLA_CARRIER") != 0)
