"""Groups of instances, for rules to speak of."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import IntegrityError, transaction

from networks.models import Group, Rule
from networks.services.announce import announce_rules
from networks.services.rules import owner_of
from networks.services.texts import check_name
from opsweb.core import access, audit, events
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, NotFound
from opsweb.core.models import Host
from opsweb.teams.models import Team
from opsweb.teams.services import lock_team

MAX_GROUPS = 100  # of one team


def create(team: Team, name: str, instances: Iterable[UUID] = (), *, actor: Actor) -> Group:
    """Raises: NotFound, Forbidden; Invalid; Conflict ("name_taken", "quota")."""
    access.require(actor, "group.create", team.pk)
    check_name(name)
    with transaction.atomic():
        lock_team(team.pk)
        if Group.objects.filter(team=team).count() >= MAX_GROUPS:
            raise Conflict(f"A team has at most {MAX_GROUPS} groups. Delete one first.", code="quota")
        group = Group(team=team, name=name)
        _save(group)
        group.instances.set(_members(team.pk, instances))
        _record(group, "create", actor)
    return group


def edit(group: Group, *, actor: Actor, name: str | None = None, instances: Iterable[UUID] | None = None) -> Group:
    """Another name, other members; None leaves it. Rules that speak of it follow at once. Raises: as `create`."""
    access.require(actor, "group.edit", group.team_id)
    with transaction.atomic():
        lock_team(group.team_id)
        if not Group.objects.filter(pk=group.pk).exists():
            raise NotFound
        if name:
            check_name(name)
            group.name = name
            _save(group)
        if instances is not None:
            group.instances.set(_members(group.team_id, instances))
        _record(group, "edit", actor)
    return group


def delete(group: Group, *, actor: Actor) -> None:
    """Raises: NotFound, Forbidden; Conflict("in_use") while a rule speaks of it."""
    access.require(actor, "group.delete", group.team_id)
    with transaction.atomic():
        lock_team(group.team_id)
        if rule := Rule.objects.filter(peer_group=group).select_related("network", "instance").first():
            raise Conflict(f"A rule of {owner_of(rule)} speaks of group {group.name}. Change that rule first.", code="in_use")
        _record(group, "delete", actor)
        Group.objects.filter(pk=group.pk).delete()


def _members(team_id: int, instances: Iterable[UUID]) -> list[Any]:
    """Those of the team. Raises: NotFound, for a stranger's too (INV-15)."""
    wanted = set(instances)
    found = list(apps.get_model("instances", "Instance").objects.filter(pk__in=wanted, team=team_id))
    if wanted != {instance.pk for instance in found}:
        raise NotFound
    return found


def _save(group: Group) -> None:
    try:
        with transaction.atomic():
            group.save()
    except IntegrityError as error:
        message = f"The team has a group called {group.name}. Take another name."
        raise Conflict(message, code="name_taken", fields={"name": [group.name]}) from error


def _record(group: Group, verb: str, actor: Actor) -> None:
    audit.record(
        actor,
        f"group.{verb}",
        kind="group",
        target_id=group.pk,
        label=group.name,
        team_id=group.team_id,
        details={"instances": group.instances.count()},
    )
    events.changed("group", group.pk, group.team_id)
    for host in Host.objects.filter(networks__nics__instance__team=group.team_id).distinct():
        announce_rules(host)
