"""What every page's frame shows: teams, counts, quota, running operations. A context processor; asked only when a template looks."""

from functools import cached_property
from typing import Any

from django.db.models import Count, Q, Sum
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from instances.models import Image, Instance
from instances.states import Observed
from networks.models import Nic
from networks.services.quota import used_by
from networks.views.present import of_team as of_team_networks
from opsweb.core import access
from opsweb.core.access import Actor
from opsweb.core.models import Operation
from opsweb.teams.actors import actor_of
from opsweb.teams.chosen import team_of, teams_of_request
from opsweb.teams.feed import mark_dead
from opsweb.teams.meters import Meter
from opsweb.teams.models import Team


class Panel:
    """The frame of one page, for one person and one team."""

    def __init__(self, request: HttpRequest) -> None:
        self.actor: Actor = actor_of(request)
        self.teams: list[Team] = teams_of_request(request)
        self.team: Team | None = team_of(request)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Of the team: instances, running, vcpus, memory, images, networks. Three queries."""
        of_team = Q(team=self.team)
        up = Q(observed__in=(Observed.RUNNING, Observed.PAUSED))
        sums = Instance.objects.filter(of_team).aggregate(
            instances=Count("pk"), running=Count("pk", filter=up), vcpus=Sum("vcpus", default=0), memory=Sum("memory_mib", default=0)
        )
        images = Image.objects.filter(of_team, is_wanted=True).count()
        return {**sums, "images": images, "networks": of_team_networks(self.actor, self.team).count()}

    @cached_property
    def meters(self) -> list[Meter]:
        """The team's quota and what of it is taken, stopped instances included (INV-13)."""
        if self.team is None:
            return []
        counts, team = self.counts, self.team
        return [
            Meter("instances", "Instances", counts["instances"], team.quota_instances),
            Meter("vcpus", "vCPUs", counts["vcpus"], team.quota_vcpus),
            Meter("memory_mib", "Memory", counts["memory"], team.quota_memory_mib, "MiB"),
        ]

    @cached_property
    def network_meters(self) -> list[Meter]:
        """The same of networks. Four queries, on the pages that show them."""
        if self.team is None:
            return []
        used, team = used_by(self.team.pk), self.team
        return [
            Meter("networks", "Networks", used.networks, team.quota_networks),
            Meter("addresses", "Addresses", used.addresses, team.quota_addresses),
            Meter("forwards", "Forwards", used.forwards, team.quota_forwards),
            Meter("rules", "Rules", used.rules, team.quota_rules),
        ]

    @property
    def rail_meters(self) -> list[Meter]:
        """What stands in the rail: addresses too, where there is a network to take them from. One more query."""
        if self.team is None or not self.counts["networks"]:
            return self.meters
        taken = Nic.objects.filter(instance__team=self.team).exclude(network=None).count()
        return [*self.meters, Meter("addresses", "Addresses", taken, self.team.quota_addresses)]

    @property
    def create_meters(self) -> list[Meter]:
        """What a new instance takes of."""
        return [*self.meters, *(meter for meter in self.network_meters if meter.name in ("addresses", "forwards"))]

    @cached_property
    def operations(self) -> list[Operation]:
        """What is being done now, newest first, and the last that failed or ended; all that the person may see."""
        return mark_dead(access.visible(self.actor, Operation.objects.all())[:SHOWN_OPERATIONS])

    @property
    def active(self) -> list[Operation]:
        """Those of `operations` that are not over."""
        return [operation for operation in self.operations if operation.is_active]

    @property
    def may_audit(self) -> bool:
        """Whether the rail leads to the audit log."""
        return access.may_audit(self.actor)

    @property
    def why_not_create(self) -> str:
        """ "" when the person may make an instance here, else the sentence why not."""
        if self.team is None:
            return "You are a member of no team. An admin can add you to one."
        return access.refusal(self.actor, "instance.create", self.team.pk)


SHOWN_OPERATIONS = 12


def panel(request: HttpRequest) -> dict[str, Any]:
    """The context processor."""
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return {}
    return {"panel": SimpleLazyObject(lambda: Panel(request))}
