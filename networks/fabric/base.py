"""What the network driver is: values in and out, and the protocol that `linux` and `fake` both keep. Pure."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol
from uuid import UUID


class FabricError(Exception):
    """The host refused a network change; the sentence is for the person who asked.

    `code` is stable and for programs: "bad_guard", "bad_network", "rules_refused", "no_nft", "no_dnsmasq", "no_bridge_netfilter",
    "link_refused", "dnsmasq_failed", "would_cut_off", "not_plugged", "bad_lock", "timeout".
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


NOBODY = range(0)


@dataclass(frozen=True, order=True)
class Endpoint:
    """A port of the host."""

    protocol: str  # "tcp" or "udp"
    address: str  # IPv4
    port: int


@dataclass(frozen=True, order=True)
class Redirect:
    """A port under 1024, which QEMU may not bind, led to the one that it binds in its place."""

    public: Endpoint
    bound_port: int


@dataclass(frozen=True)
class Guard:
    """All that user-mode guests of this installation may reach on the host; everything else of it is refused.

    `allowed` maps a VM's uid to the endpoints of its own team's forwards that are bound now, as people see them (the public side
    of a redirect; the address 0.0.0.0 for a forward on all of them). A uid of the range that is not in it reaches nothing.
    `bridged` maps it to where its team's forwards to bridged guests lead: it comes there by the forward, not straight.
    """

    uid_first: int
    uid_last: int
    allowed: Mapping[int, tuple[Endpoint, ...]]
    redirects: tuple[Redirect, ...] = ()
    bridged: Mapping[int, tuple[Endpoint, ...]] = field(
        default_factory=dict
    )  # uid → (protocol, guest's address, port) its forwards lead to
    uplinks: tuple[str, ...] = ()  # bridges that lead outside, so not to a network of ours
    shared_ports: tuple[int, ...] = ()  # host ports an admin opened to every guest (OPSWEB_GUEST_HOST_PORTS)
    resolvers: tuple[str, ...] = ()  # IPv4 or IPv6; the host's nameservers, whose port 53 stays open where they are the host itself


class Mode(StrEnum):
    """How a network meets the outside."""

    NAT = "nat"
    ISOLATED = "isolated"
    UPLINK = "uplink"


@dataclass(frozen=True)
class RulePlan:
    """One rule, resolved: no names, only addresses."""

    id: UUID  # names its counter
    allow: bool
    inbound: bool  # to the guest
    protocol: str = "any"  # "any", "tcp", "udp", "icmp" (ICMPv6 too)
    ports: tuple[int, int] | None = None  # first and last port of the destination; only with tcp and udp
    peers: tuple[str, ...] | None = None  # CIDRs of both families; None: anybody; (): nobody, so the rule fits nothing


@dataclass(frozen=True)
class ForwardPlan:
    """A port of the host that leads to a NIC on a network."""

    public: Endpoint
    guest_port: int


@dataclass(frozen=True)
class NicPlan:
    """A NIC on a network, plugged in or not: what filter and dnsmasq know of it."""

    tap: str  # the derived name of its tap
    mac: str
    name: str  # DNS label in the network's domain: the instance's name
    address4: str
    address6: str = ""
    rate_kbit: int = 0  # kbit/s in each direction; 0: no limit
    rules: tuple[RulePlan, ...] = ()  # the instance's, and its own team's network's behind them; the first that fits decides
    firm: tuple[RulePlan, ...] = ()  # of a network of others, or an uplink: a list of its own; what it denies no rule of the instance lifts
    forwards: tuple[ForwardPlan, ...] = ()


@dataclass(frozen=True)
class NetworkPlan:
    """Everything a network is to be on the host. The driver asks nobody else."""

    id: UUID
    name: str  # for people reading messages
    bridge: str  # the derived name of its bridge
    mode: Mode
    cidr4: str
    gateway4: str  # the bridge's own address; of an uplink the router's, which is not ours
    cidr6: str = ""
    gateway6: str = ""
    is_nat6: bool = True
    adapter: str = ""  # uplink: the host's link that joins the bridge
    mtu: int = 1500
    dhcp: bool = True
    lease_seconds: int = 3600
    domain: str = ""
    resolvers: tuple[str, ...] = ()  # upstream DNS; (): those of the host; an isolated network has none
    records: tuple[tuple[str, str], ...] = ()  # (name, address)
    nics: tuple[NicPlan, ...] = ()
    linked: tuple[str, ...] = ()  # bridges that it exchanges packets with
    uid: int = 0  # its dnsmasq's own user and group id


@dataclass(frozen=True)
class Drift:
    """One difference between a plan and the host, for people."""

    what: str  # "bridge", "address", "dnsmasq", "filter", "tap tap0 of bob", …
    reason: str  # "is down", "is gone", "was changed by somebody"


@dataclass(frozen=True)
class Finding:
    """What a preflight says: `fatal` ones forbid the change, the others are warnings to be shown."""

    code: str  # "foreign_forward_drop", "no_bridge_netfilter", "would_lose_ra_route", "would_cut_off", "overlaps_route", …
    message: str
    fatal: bool = False


@dataclass(frozen=True)
class Lease:
    """What dnsmasq gave out."""

    mac: str  # "" for a DHCPv6 lease, which knows a DUID only
    address: str
    name: str
    expires_at: float | None  # seconds since the epoch; None: never


Count = tuple[int, int]  # packets, bytes


@dataclass(frozen=True)
class NicCounts:
    """Of one tap, since the filter first held it. "in" is to the guest."""

    passed_in: Count = (0, 0)
    passed_out: Count = (0, 0)
    dropped: Count = (0, 0)  # what the anti-spoofing or the rate limit refused, without a Linux's harmless IPv6 where there is none


@dataclass(frozen=True)
class Counts:
    """All counters of the filter: by tap, by rule (its NICs together)."""

    nics: Mapping[str, NicCounts]
    rules: Mapping[UUID, Count]


@dataclass(frozen=True)
class Adapter:
    """A link of the host that could become an uplink."""

    name: str
    addresses: tuple[str, ...]  # with prefix length
    is_up: bool


@dataclass(frozen=True)
class HostNetwork:
    """What the host's own network is: for overlap checks and choices, none of it ours."""

    routes: tuple[tuple[str, str], ...]  # (CIDR, link), without default routes
    adapters: tuple[Adapter, ...]
    platform: str = ""  # the cloud that DMI names, e.g. "Amazon EC2"; "" elsewhere


class Fabric(Protocol):
    """What the reconciler may ask of a host's network. Each call is idempotent and bounded in time."""

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Hold `name` (e.g. "guard") alone among all processes of this host (flock: it dies with its holder). Waits up to 30 s.

        Raises: FabricError("timeout"), FabricError("bad_lock") for a name that is not [a-z0-9-]{1,64}.
        """

    def apply_guard(self, guard: Guard) -> None:
        """Make the host's rules exactly these, at once or not at all; count on.

        Read the rows and call this under `lock("guard")`, or an older reading may come last.
        Raises: FabricError("bad_guard") before anything is touched, FabricError("rules_refused"), FabricError("timeout").
        """

    def guard_holds(self, guard: Guard) -> bool:
        """Whether the rules in the kernel are these (someone may have flushed them)."""

    def busy(self, endpoints: tuple[Endpoint, ...], *, ours: range = NOBODY) -> dict[Endpoint, str]:
        """Those of `endpoints` that some process already listens on, with a word who, e.g. "sshd (pid 412)".

        VMs of ours are included, unless their uids are given as `ours`: what one of them holds is nobody else's.
        A redirect of another installation counts as well; our own does not: its row does, and a start tried again must not meet itself.
        """

    def foreign(self, addresses: frozenset[str]) -> frozenset[str]:
        """Those of the IPv4 `addresses` that the host does not have, so that nothing can listen on them."""

    def host_network(self) -> HostNetwork:
        """The host's own links and routes, without what is ours."""

    def preflight(self, network: NetworkPlan) -> tuple[Finding, ...]:
        """What would break the network, or the network would break. Looks, changes nothing."""

    def apply_network(self, network: NetworkPlan) -> None:
        """Make bridge, addresses, uplink and dnsmasq exactly these; what is so already is left alone. Call it under `lock(network.bridge)`.

        Not the filter: see `apply_filter`, which must hold first. On failure what this call made is undone.
        Raises: FabricError("bad_network") before anything is touched, and whatever the host refuses.
        """

    def drift(self, network: NetworkPlan) -> tuple[Drift, ...]:
        """How bridge, addresses, uplink and dnsmasq differ from the plan. Looks, changes nothing; () when all is so."""

    def remove_network(self, network: UUID, bridge: str) -> None:
        """End its dnsmasq, take away bridge, taps and files; an uplink's adapter gets its addresses back. Gone already: nothing."""

    def networks(self) -> tuple[tuple[UUID, str], ...]:
        """(id, bridge) of every network of this installation that has anything on the host."""

    def apply_filter(self, networks: Sequence[NetworkPlan]) -> None:
        """Make the tables for all networks exactly these, at once or not at all; counters go on. Call it under `lock("filter")`.

        Also forwarding of packets (ip_forward and its kin) while a network needs it; what it was comes back with the last one.
        Raises: FabricError("bad_network") before anything is touched, FabricError("rules_refused"), FabricError("timeout").
        """

    def filter_holds(self, networks: Sequence[NetworkPlan]) -> bool:
        """Whether the tables in the kernel are these."""

    def plug(self, network: NetworkPlan, nic: NicPlan, queues: int = 1) -> tuple[int, ...]:
        """Make the NIC's tap, a port of the bridge, and return its open descriptors, one a queue, for the caller to hand on and close.

        A tap of that name left over from before is replaced. The filter must hold `nic` already. The link comes up last.
        Raises: FabricError("link_refused").
        """

    def unplug(self, tap: str) -> None:
        """Take the tap away. Gone already: nothing."""

    def taps(self) -> tuple[str, ...]:
        """Names of all taps of this installation on the host."""

    def replug(self, network: NetworkPlan, nic: NicPlan, descriptors: Sequence[int]) -> None:
        """Make the NIC's tap anew that somebody deleted, on copies of the descriptors by which its QEMU still holds it (TUNSETIFF).

        They stay the caller's to close. Raises: FabricError("not_plugged") when there are none or they are another tap's.
        """

    def leases(self, network: UUID) -> tuple[Lease, ...]:
        """What its dnsmasq has given out."""

    def lease_directory(self, network: UUID) -> Path:
        """Where something is written when its leases change, for the panel's group to watch (inotify(7)). There while the network is."""

    def counts(self) -> Counts:
        """All counters of the filter, in one reading."""

    def remove_all(self) -> None:
        """Leave the host as it was found."""
