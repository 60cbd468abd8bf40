"""What comes out of the routes of networks, and how rows become that. Called by the routes of both apps."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, QuerySet
from pydantic import BaseModel

from networks import shown
from networks.models import Network, Rule
from networks.services.rules import sentence, spec_of
from networks.sharing import owns, refusal
from opsweb.core.access import Actor
from opsweb.core.models import Operation
from opsweb.teams.api.answers import OperationAccepted, OperationOut, name_of, operation_out

VERBS = ("edit", "repair", "rules", "delete")


class DriftOut(BaseModel):
    """How the host differed from what is wanted, and whether that was mended."""

    what: str
    reason: str
    at: str
    mended: bool


class WarningOut(BaseModel):
    """What the host has against it."""

    code: str
    message: str


class NetworkOut(BaseModel):
    """A network. To those it is shared with, what names people, teams and instances of the owner's is empty."""

    id: UUID
    name: str
    team: str
    host: str
    mode: str
    adapter: str
    cidr4: str
    gateway4: str
    cidr6: str
    gateway6: str | None
    nat6: bool
    dhcp: bool
    dhcp_first: str | None
    dhcp_last: str | None
    lease_seconds: int
    mtu: int
    domain: str
    resolvers: list[str]
    records: dict[str, str]
    shared_with: list[str]
    linked: list[str]
    nics: int
    state: str
    label: str
    tone: str
    message: str
    observed_at: datetime | None
    drift: list[DriftOut]
    warnings: list[WarningOut]
    verbs: list[str]
    created_at: datetime
    created_by: str
    operation: OperationOut | None


class WaitedNetworkOut(NetworkOut):
    """The same, with whether what was waited for is so."""

    waited_for: bool | None = None


class NetworkAccepted(OperationAccepted):
    """A network is written down, or changed; the worker is at it."""

    network: NetworkOut


class RuleOut(BaseModel):
    """A rule with what it decided so far."""

    action: str
    direction: str
    protocol: str
    ports: str
    peer: str
    sentence: str
    packets: int
    bytes: int


class RulesOut(BaseModel):
    """All rules of one owner, in their order."""

    items: list[RuleOut]
    count: int


def with_relations(rows: QuerySet[Network]) -> QuerySet[Network]:
    """All that `networks_out` reads, in a constant number of queries."""
    counted = rows.annotate(nic_count=Count("nics", distinct=True))
    return counted.select_related("team", "host", "created_by").prefetch_related("shared_with", "linked")


def network_out(network: Network, actor: Actor) -> NetworkOut:
    """One row (of `with_relations`) as an answer."""
    return networks_out([network], actor)[0]


def networks_out(networks: Iterable[Network], actor: Actor) -> list[NetworkOut]:
    """Rows as answers. One query beside theirs."""
    rows = list(networks)
    active = shown.active_operations(rows)
    return [_network_out(row, actor, active.get(row.pk)) for row in rows]


SAME = (
    *("id", "name", "mode", "adapter", "cidr4", "gateway4", "cidr6", "gateway6", "dhcp", "lease_seconds", "mtu", "resolvers", "records"),
    *("observed_at", "created_at"),
)


def _network_out(network: Network, actor: Actor, operation: Operation | None) -> NetworkOut:
    is_own = owns(actor, network.team_id)
    badge = shown.badge(network, operation)
    same: dict[str, Any] = {name: getattr(network, name) for name in SAME}
    pool = network.pool
    return NetworkOut(
        **same,
        team=network.team.name,
        host=network.host.name,
        nat6=network.is_nat6,
        domain=network.full_domain,
        dhcp_first=str(pool[0]) if pool else None,
        dhcp_last=str(pool[1]) if pool else None,
        # Who else is let in is the owner's to know.
        shared_with=[team.name for team in network.shared_with.all() if is_own or owns(actor, team.pk)],
        linked=[other.name for other in network.linked.all() if owns(actor, other.team_id)],
        nics=network.nic_count,  # type: ignore[attr-defined]  # annotated by with_relations
        state=network.observed,
        label=badge.label,
        tone=badge.tone,
        verbs=[verb for verb in VERBS if is_own and not refusal(actor, verb, network)],
        # These may name people and instances of the owner's, and ports that others forward.
        message=network.message if is_own else "",
        warnings=network.warnings if is_own else [],
        drift=network.drift if is_own else [],
        created_by=name_of(network.created_by) if is_own else "",
        operation=operation_out(operation) if operation and is_own else None,
    )


def rules_out(rules: QuerySet[Rule]) -> RulesOut:
    """One owner's rules as an answer. One query."""
    items = [_rule_out(rule) for rule in rules.select_related("peer_group", "peer_network")]
    return RulesOut(items=items, count=len(items))


def _rule_out(rule: Rule) -> RuleOut:
    packets, octets = (*rule.counts, 0, 0)[:2]
    spec = spec_of(rule)
    return RuleOut(**vars(spec), sentence=sentence(spec), packets=packets, bytes=octets)
