"""What a preflight says of a network beside the host's own: pure, for both drivers."""

from collections.abc import Iterator
from ipaddress import ip_interface, ip_network

from networks.fabric.base import Finding, HostNetwork, Mode, NetworkPlan


def of_host(network: NetworkPlan, host: HostNetwork) -> tuple[Finding, ...]:
    """What the host's own links and routes have against the network. An uplink shares its adapter's subnet and that is fine."""
    found = [*_overlaps(network, host)]
    if network.mode is Mode.UPLINK:
        found += _uplink(network.adapter, host)
    return tuple(found)


def _overlaps(network: NetworkPlan, host: HostNetwork) -> Iterator[Finding]:
    ours = [ip_network(cidr) for cidr in (network.cidr4, network.cidr6) if cidr]
    for cidr, link in host.routes:
        route = ip_network(cidr)
        if network.mode is Mode.UPLINK and link in (network.adapter, network.bridge):
            continue
        for own in ours:
            if own.version == route.version and own.overlaps(route):
                yield Finding(
                    "overlaps_route", f"{own} meets the host's route to {route} through {link}. Choose another subnet.", fatal=True
                )


def _uplink(name: str, host: HostNetwork) -> Iterator[Finding]:
    adapter = next((adapter for adapter in host.adapters if adapter.name == name), None)
    if adapter is None:
        yield Finding("no_such_adapter", f"The host has no network adapter {name} that could become an uplink.", fatal=True)
        return
    if not adapter.is_up:
        yield Finding("adapter_without_link", f"The adapter {name} carries no link. Plug in its cable or bring it up first.", fatal=True)
    if adapter.addresses:
        moved = ", ".join(str(ip_interface(address)) for address in adapter.addresses)
        yield Finding(
            "moves_addresses", f"The host's own {moved} moves from {name} to the bridge, and comes back when the network is deleted."
        )
