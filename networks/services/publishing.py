"""What an admin published decides which forwards are open: one whose address is taken away is closed, kept and shown as such."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from networks.models import PortForward, PublishedAddress
from networks.ports import ANY_ADDRESS
from networks.services.announce import announce_rules
from opsweb.core import events
from opsweb.core.models import Host
from opsweb.core.queue import enqueue
from opsweb.teams.models import Team

LOOPBACK = "127."


@contextmanager
def settled() -> Iterator[None]:
    """Change published addresses inside: forwards that lose theirs are closed, those that have one again are open.

    One that an admin opened where nothing was ever published stays as it is.
    """
    with transaction.atomic():
        before = _covered()
        yield
        after = _covered()
        _set(before - after, is_withdrawn=True)
        _set(after, is_withdrawn=False)


def forget_team(instance: Team, **_: object) -> None:
    """Before a team goes: what was published to it alone goes too, for without a team in its list it would be every team's."""
    for row in PublishedAddress.objects.filter(teams=instance):
        if row.teams.count() == 1:
            row.delete()


def _covered() -> set[int]:
    """Forwards that a published address allows."""
    rows = [(row, {team.pk for team in row.teams.all()}) for row in PublishedAddress.objects.prefetch_related("teams")]
    forwards = PortForward.objects.exclude(host_address__startswith=LOOPBACK)
    return {f.pk for f in forwards if any(_covers(row, teams, f) for row, teams in rows)}


def _covers(row: PublishedAddress, teams: set[int], forward: PortForward) -> bool:
    is_theirs = row.host_id == forward.host_id and (not teams or forward.team_id in teams)
    return is_theirs and row.address in (forward.host_address, ANY_ADDRESS) and row.port_first <= forward.host_port <= row.port_last


def _set(ids: set[int], *, is_withdrawn: bool) -> None:
    changed = list(PortForward.objects.filter(pk__in=ids).exclude(is_withdrawn=is_withdrawn).select_related("nic__instance", "host"))
    PortForward.objects.filter(pk__in=[row.pk for row in changed]).update(is_withdrawn=is_withdrawn)
    for host in Host.objects.filter(pk__in={row.host_id for row in changed}):
        announce_rules(host)
    for instance, team, queue in {(row.nic.instance_id, row.team_id, row.host.queue) for row in changed}:
        enqueue("instances.apply_forwards", queue, str(instance))
        events.changed("instance", instance, team)
