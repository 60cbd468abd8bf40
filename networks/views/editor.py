"""The rules editor, for the pages of networks and of instances: its rows, its sentences, its preview. Called by views of both apps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from networks import plans
from networks.change import Section, difference
from networks.dry_run import undone
from networks.fabric.base import NetworkPlan
from networks.models import Group, Network, Rule
from networks.rule_rows import rows_of_post, rows_of_rules
from networks.seen import seen_plans
from networks.services import rules as services
from networks.sharing import usable_by
from opsweb.core.errors import Refusal
from opsweb.core.models import Host
from opsweb.teams.actors import actor_of

EXAMPLES = ("10.0.0.0/8", "0.0.0.0/0", "::/0")


@dataclass(frozen=True)
class Sentence:
    """A rule that is in force, in words, with what it decided."""

    text: str
    packets: int


def editor(rules: Sequence[Rule], team_id: int, *, by_name: bool = True) -> dict[str, Any]:
    """What the editor's templates want; `by_name`: whether a rule may speak of groups and networks. Two queries."""
    groups = Group.objects.filter(team=team_id).values_list("name", flat=True) if by_name else ()
    networks = usable_by(team_id).values_list("name", flat=True) if by_name else ()
    return {
        "rows": rows_of_rules(rules),
        "in_force": [Sentence(services.sentence(rule), (rule.counts or [0])[0]) for rule in rules],
        "peers": [*(f"group:{name}" for name in groups), *(f"network:{name}" for name in networks), *EXAMPLES],
    }


def of_network(network: Network) -> list[Rule]:
    """In order, with what a sentence names."""
    return list(network.rules.select_related("peer_group", "peer_network"))


def urls(network: Network) -> dict[str, str]:
    """Where the editor sends to."""
    return {
        "save_url": reverse("networks:rules", args=[network.pk]),
        "plan_url": reverse("networks:rules-plan", args=[network.pk]),
    }


def answer(
    request: HttpRequest, host: Host, read: Callable[[], Sequence[Rule]], write: Callable[[Sequence[services.RuleSpec]], Any]
) -> HttpResponse:
    """A dry run of `write`: each rule's sentence, and the lines of the filter that differ; or why it is refused."""
    actor = actor_of(request)
    before = seen_plans(plans.plans(host), actor)
    try:
        with undone():
            write([row.spec() for row in rows_of_post(request.POST)])
            sentences, after = [services.sentence(rule) for rule in read()], seen_plans(plans.plans(host), actor)
    except Refusal as error:
        return render(request, "networks/_rules_plan.html", {"error": error.message})
    return render(request, "networks/_rules_plan.html", {"sentences": sentences, "sections": _sections(before, after)})


def _sections(before: Sequence[NetworkPlan], after: Sequence[NetworkPlan]) -> list[Section]:
    old = {plan.id: plan for plan in before}
    return [section for plan in after if plan != old.get(plan.id) for section in difference(old.get(plan.id), plan)]
