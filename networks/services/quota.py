"""What a team's networks take of its quota (INV-13, SEC-G3). Asked inside the transaction that takes more, with the team's row locked."""

from collections.abc import Collection
from typing import Any

from django.db.models import Count, QuerySet

from networks.models import Network, Nic, PortForward, Rule
from opsweb.teams.models import Team
from opsweb.teams.services import Usage, check_quota


def used_by(team_id: int) -> Usage:
    """All of it. Four queries."""
    return used_by_teams([team_id])[team_id]


def used_by_teams(team_ids: Collection[int]) -> dict[int, Usage]:
    """The same for several teams. Four queries, however many."""
    on_networks = Nic.objects.filter(instance__team__in=team_ids).exclude(network=None)
    counts = {
        "networks": _by_team(Network.objects.filter(team__in=team_ids), "team"),
        "addresses": _by_team(on_networks, "instance__team"),
        "forwards": _by_team(PortForward.objects.filter(team__in=team_ids), "team"),
        "rules": _by_team(Rule.objects.filter(team__in=team_ids), "team"),
    }
    return {team: Usage(**{kind: rows.get(team, 0) for kind, rows in counts.items()}) for team in team_ids}


def _by_team(rows: QuerySet[Any], column: str) -> dict[int, int]:
    return dict(rows.order_by().values_list(column).annotate(Count("pk")))


def take(team_id: int, wanted: Usage) -> None:
    """Raises: Conflict("quota") with figures. Less than before is never refused."""
    if any(more > 0 for more in vars(wanted).values()):
        check_quota(Team.objects.get(pk=team_id), used_by(team_id), wanted)
