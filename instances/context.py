"""What every page's frame shows: teams, counts, quota, running operations. A context processor; asked only when a template looks."""

from dataclasses import dataclass
from functools import cached_property
from math import floor
from typing import Any

from django.db.models import Count, Q, Sum
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from instances.models import Image, Instance
from instances.shown import mark_dead
from instances.states import Observed
from opsweb.core import access
from opsweb.core.access import Actor
from opsweb.core.models import Operation
from opsweb.teams.actors import actor_of
from opsweb.teams.chosen import team_of, teams_of_request
from opsweb.teams.models import Team

GIB = 1024  # MiB


@dataclass(frozen=True)
class Meter:
    """One quota: how much of how much."""

    name: str
    label: str
    used: int
    limit: int
    unit: str = ""

    @property
    def percent(self) -> int:
        """0 to 100, for the bar."""
        return min(100, round(100 * self.used / self.limit)) if self.limit else 100

    @property
    def amount(self) -> str:
        """What is taken: "3", "1.5", "384 MiB"; without the unit that the limit has."""
        amount, unit = self._figure(self.used)
        return amount if unit == self._figure(self.limit)[1] else f"{amount} {unit}"

    @property
    def whole(self) -> str:
        """The limit with its unit: "32", "16 GiB"."""
        return " ".join(self._figure(self.limit)).strip()

    @property
    def text(self) -> str:
        """ "3 of 32", "1.5 of 16 GiB"."""
        return f"{self.amount} of {self.whole}"

    def _figure(self, amount: int) -> tuple[str, str]:
        """With two decimals, halves upwards, as static/js/create.js has it."""
        if self.unit == "MiB" and amount >= GIB:
            return f"{floor(100 * amount / GIB + 0.5) / 100:g}", "GiB"
        return str(amount), self.unit


class Panel:
    """The frame of one page, for one person and one team."""

    def __init__(self, request: HttpRequest) -> None:
        self.actor: Actor = actor_of(request)
        self.teams: list[Team] = teams_of_request(request)
        self.team: Team | None = team_of(request)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Of the team: instances, running, vcpus, memory, images. Two queries."""
        of_team = Q(team=self.team)
        up = Q(observed__in=(Observed.RUNNING, Observed.PAUSED))
        sums = Instance.objects.filter(of_team).aggregate(
            instances=Count("pk"), running=Count("pk", filter=up), vcpus=Sum("vcpus", default=0), memory=Sum("memory_mib", default=0)
        )
        return {**sums, "images": Image.objects.filter(of_team, is_wanted=True).count()}

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
    def operations(self) -> list[Operation]:
        """What is being done now, newest first, and the last that failed or ended; all that the person may see."""
        return mark_dead(access.visible(self.actor, Operation.objects.all())[:SHOWN_OPERATIONS])

    @property
    def active(self) -> list[Operation]:
        """Those of `operations` that are not over."""
        return [operation for operation in self.operations if operation.is_active]

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
