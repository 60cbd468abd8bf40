"""Plans of networks as one viewer may see them: on a shared one, what is another team's has no name, no rules and no forwards (INV-15)."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from uuid import UUID

from networks.fabric.base import NetworkPlan, NicPlan, RulePlan
from networks.fabric.names import tag_of
from networks.models import Network, Nic, Rule
from networks.plans import network_plan
from networks.sharing import visible
from opsweb.core.access import Actor

STRANGERS_LABEL = "another-team"  # in place of a name, in texts that are shown and never applied


def seen_plan(network: Network, actor: Actor) -> NetworkPlan | None:
    """The plan of one; None when the actor may not see it. Raises: FabricError("bad_network") for a row that can't be."""
    return next(iter(seen_plans([network_plan(network)], actor)), None)


def seen_plans(plans: Iterable[NetworkPlan], actor: Actor) -> list[NetworkPlan]:
    """Those of networks that the actor may see. Three queries: call it inside the transaction that the plans were read in."""
    if actor.superuser:
        return list(plans)
    owners = dict(visible(actor).values_list("pk", "team_id"))
    tags = Nic.objects.filter(network__in=owners, instance__team__in=list(actor.roles)).values_list("tag", flat=True)
    rules = Rule.objects.filter(network__in=owners).values_list("pk", flat=True)
    viewer = _Viewer(frozenset(tags), frozenset(rules))
    return [viewer.plan(plan, is_owner=owners[plan.id] in actor.roles) for plan in plans if plan.id in owners]


@dataclass(frozen=True)
class _Viewer:
    """What tells the viewer's own from others': tags of their NICs, and which rules are networks'."""

    own: Collection[str]
    of_networks: Collection[UUID]

    def plan(self, plan: NetworkPlan, *, is_owner: bool) -> NetworkPlan:
        return replace(plan, nics=tuple(self._nic(nic, is_owner) for nic in plan.nics))

    def _nic(self, nic: NicPlan, is_owner: bool) -> NicPlan:
        is_own = tag_of(nic.tap) in self.own
        rules, firm = (tuple(rule for rule in of if self._is_shown(rule, is_own, is_owner)) for of in (nic.rules, nic.firm))
        shown = replace(nic, rules=rules, firm=firm)
        return shown if is_own else replace(shown, name=STRANGERS_LABEL, forwards=(), rate_kbit=0)

    def _is_shown(self, rule: RulePlan, is_own: bool, is_owner: bool) -> bool:
        return is_owner if rule.id in self.of_networks else is_own
