"""What goes into the routes of networks: bodies and queries, closed and bounded. What comes out is in `answers`."""

from collections.abc import Callable
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from networks.models import Network
from networks.services.networks import NetworkSpec
from networks.services.nics import NicSpec
from networks.services.rules import RuleSpec
from opsweb.teams.api.schemas import Closed, Label, PageQuery
from opsweb.teams.models import Team

MAX_RULES = 1000  # in one body; a team's quota says less
MAX_NICS = 8


class NetworkQuery(PageQuery):
    """Networks that one may use; `team`: its own and those that are shared with it."""

    name: Label = ""
    team: Label = ""


class NetworkSpecIn(Closed):
    """What a network can be given; left out or null: the default, or as it is."""

    mode: Literal["nat", "isolated", "uplink"] | None = None
    adapter: Label | None = Field(None, description="Of an uplink: the host's link that joins the bridge.")
    cidr4: Label | None = Field(None, description="192.168.33.1/24: the gateway's address (an uplink: the router's) and a prefix.")
    cidr6: Label | None = Field(None, description='"auto": a prefix of its own; "none"; or a /64 such as fd12:3456:789a::/64.')
    nat6: bool | None = Field(None, description="false: the prefix is routed to this host.")
    dhcp: bool | None = None
    dhcp_first: Label | None = None
    dhcp_last: Label | None = None
    lease_seconds: int | None = Field(None, ge=120, le=30 * 86_400)
    mtu: int | None = Field(None, ge=1280, le=9000)
    domain: Label | None = None
    resolvers: list[Label] | None = Field(None, max_length=8, description="Upstream DNS servers; empty: those of the host.")
    records: dict[Label, Label] | None = Field(None, max_length=200, description="{name: address}, beside the names of instances.")
    shared_with: list[Label] | None = Field(None, max_length=100, description="Teams that may attach too; for superusers.")

    def spec(self, name: str | None, team_named: Callable[[str], Team]) -> NetworkSpec:
        """As the services take it. Raises: NotFound for a team that the caller does not see."""
        same = ("mode", "adapter", "cidr4", "dhcp", "dhcp_first", "dhcp_last", "lease_seconds", "mtu", "domain", "resolvers", "records")
        values: dict[str, Any] = {name: getattr(self, name) for name in same}
        return NetworkSpec(
            name=name,
            cidr6="" if self.cidr6 == "none" else self.cidr6,
            is_nat6=self.nat6,
            shared_with=None if self.shared_with is None else [team_named(team) for team in self.shared_with],
            **values,
        )


class NetworkIn(NetworkSpecIn):
    """A network to be made."""

    name: Label = Field("", description="Left out: br0, br1 …")
    team: Label = ""


class NetworkPatch(NetworkSpecIn):
    """What is to change."""

    name: Label | None = None


class ActionIn(Closed):
    """A verb for a network."""

    verb: Literal["repair"]


class RuleIn(Closed):
    """One rule; the first that fits decides."""

    action: Literal["allow", "deny"]
    direction: Literal["in", "out"]
    protocol: Literal["any", "tcp", "udp", "icmp"] = "any"
    ports: Label = Field("", description='"80", "9000-9005"; empty: any. Of the destination.')
    peer: Label = Field("", description="A CIDR, group:NAME, network:NAME; empty: anybody. gone:NAME stays where it is.")


class RulesIn(Closed):
    """All rules of a network or an instance, in their order."""

    rules: list[RuleIn] = Field(max_length=MAX_RULES)

    def specs(self) -> list[RuleSpec]:
        """As the services take them."""
        return [RuleSpec(**vars(rule)) for rule in self.rules]


class LinksIn(Closed):
    """Networks that a network exchanges packets with: all of them."""

    networks: list[UUID] = Field(max_length=100)


class PreviewIn(NetworkIn):
    """A change to look at: of `network`, or a new one."""

    network: UUID | None = None
    rules: list[RuleIn] | None = Field(None, max_length=MAX_RULES)


class GroupIn(Closed):
    """Instances under one name, for rules to speak of."""

    name: Label
    team: Label = ""
    instances: list[UUID] = Field([], max_length=1000, description="Of the team.")


class GroupPatch(Closed):
    """What is to change; `instances` replaces them all."""

    name: Label | None = None
    instances: list[UUID] | None = Field(None, max_length=1000)


class NicIn(Closed):
    """A NIC of an instance."""

    network: Label = Field("", description="Id or name of a network that the team may use; empty: user mode.")
    name: Label = Field("", description="tap0, tap1 … when left out.")
    address4: Label = Field("", description="A fixed address; empty: the next free one, by DHCP.")
    address6: Label = ""
    rate_kbit: int = Field(0, ge=0, le=100_000_000, description="kbit/s in each direction; 0: no limit.")

    def spec(self, network: Network | None) -> NicSpec:
        """As the services take it."""
        return NicSpec(network, self.name, self.address4, self.address6, self.rate_kbit)
