"""Rows and pages as templates want them: a network with its badge, its room and its people. Called by the views."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network

from django.db.models import Count, Q, QuerySet

from networks import shown
from networks.models import Network
from networks.sharing import visible
from networks.states import MODES
from opsweb.core.access import Actor
from opsweb.core.models import Host, Operation
from opsweb.environment import env
from opsweb.teams.models import Team

# Observed state of an instance → how a dot of it looks and reads. As instances.states.LABELS has it; a test compares.
INSTANCE_STATES: dict[str, tuple[str, str]] = {
    "unknown": ("not seen yet", "stop"),
    "absent": ("stopped", "stop"),
    "stopped": ("stopped", "stop"),
    "running": ("running", "run"),
    "paused": ("paused", "wait"),
    "crashed": ("crashed", "bad"),
}


def of_team(actor: Actor, team: Team | None) -> QuerySet[Network]:
    """The team's own networks, and those it may attach to, as far as the actor sees them."""
    shared = Network.shared_with.through.objects.filter(team=team).values("network")
    return visible(actor).filter(Q(team=team) | Q(pk__in=shared))


def with_relations(rows: QuerySet[Network]) -> QuerySet[Network]:
    """What a row or a page needs, in a constant number of queries."""
    counts = {"nic_count": Count("nics", distinct=True), "instance_count": Count("nics__instance", distinct=True)}
    return rows.select_related("team", "host", "created_by").annotate(**counts)


@dataclass
class Shown:
    """A network for a template."""

    network: Network
    operation: Operation | None
    team: Team | None = None  # the page's; a network of another one is shown as shared

    @cached_property
    def badge(self) -> shown.Badge:
        """Its state in words, with a tone."""
        return shown.badge(self.network, self.operation)

    @property
    def is_shared(self) -> bool:
        """Whether another team owns it."""
        return self.team is not None and self.network.team_id != self.team.pk

    @property
    def used(self) -> int:
        """Addresses that NICs hold."""
        return int(self.network.nic_count)  # type: ignore[attr-defined]  # annotated by with_relations

    @property
    def room(self) -> int:
        """Addresses that NICs could hold: without the network's own, the broadcast's and the gateway's."""
        return max(IPv4Network(self.network.cidr4).num_addresses - 3, 0)

    @property
    def percent(self) -> int:
        """0 to 100, for the bar; what is taken at all is seen."""
        return min(100, max(round(100 * self.used / self.room), 2 if self.used else 0)) if self.room else 100

    @property
    def mode_note(self) -> str:
        """What its mode means."""
        return MODES[self.network.mode]

    @property
    def live(self) -> str:
        """What its fragment listens to: its NICs are instances'."""
        names = [f"network:{self.network.pk}", "instance:*"]
        return " ".join([*names, f"operation:{self.operation.pk}"] if self.operation else names)


def shown_rows(rows: Iterable[Network], team: Team | None) -> list[Shown]:
    """Rows with their active operations. One query beside theirs."""
    networks = list(rows)
    active = shown.active_operations(networks)
    return [Shown(network, active.get(network.pk), team) for network in networks]


def platform() -> str:
    """The cloud that this host stands on, as far as it is known; "" elsewhere."""
    facts = Host.objects.filter(name=env.host).values_list("network_facts", flat=True).first() or {}
    return str(facts.get("platform", ""))
