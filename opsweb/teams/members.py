"""Writes of a team's members: other roles, going and being taken out. A team that has an admin keeps one."""

from django.db import transaction

from opsweb.core import access, audit, events
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, Invalid, NotFound
from opsweb.teams.models import Membership, Team
from opsweb.teams.services import lock_team

ADMIN = Membership.RoleName.ADMIN


def change_role(team: Team, user_id: int, role: str, *, actor: Actor) -> Membership:
    """Give a member another role. Raises: NotFound, Forbidden; Invalid; Conflict("last_admin")."""
    access.require(actor, "team.members", team.pk)
    if role not in Membership.RoleName.values:
        raise Invalid(f"A role is one of {', '.join(Membership.RoleName.values)}.", fields={"role": [role]})
    with transaction.atomic():
        member = _locked(team, user_id)
        if member.role == role:
            return member
        if role != ADMIN:
            _keep_an_admin(member)
        member.role = role
        member.save(update_fields=["role"])
        _record(member, "role", actor)
    return member


def remove(team: Team, user_id: int, *, actor: Actor) -> Membership:
    """Take a member out; open sockets of theirs end within seconds (INV-17). Raises: NotFound, Forbidden; Conflict("last_admin")."""
    access.require(actor, "team.members", team.pk)
    return _take_out(team, user_id, "remove", actor)


def leave(team: Team, *, actor: Actor) -> Membership:
    """Go oneself. Raises: NotFound, also for a superuser who is no member; Conflict("last_admin")."""
    access.require(actor, "team.leave", team.pk)
    return _take_out(team, actor.user_id or 0, "leave", actor)


def _take_out(team: Team, user_id: int, verb: str, actor: Actor) -> Membership:
    with transaction.atomic():
        member = _locked(team, user_id)
        _keep_an_admin(member)
        _record(member, verb, actor)
        Membership.objects.filter(pk=member.pk).delete()
    return member


def _locked(team: Team, user_id: int) -> Membership:
    """The membership, while nobody else changes one of the team: of two last admins who go at once, one stays. Raises: NotFound."""
    lock_team(team.pk)
    member = Membership.objects.select_related("user", "team").filter(team=team, user=user_id).first()
    if member is None:
        raise NotFound("This person is not in the team any more.")
    return member


def _keep_an_admin(member: Membership) -> None:
    """Raises: Conflict when nobody who can sign in would be an admin without this one."""
    others = Membership.objects.filter(team=member.team, role=ADMIN, user__is_active=True).exclude(pk=member.pk)
    if member.role == ADMIN and not others.exists():
        text = f"{member.user} is the only admin of {member.team}. Make somebody else an admin first."
        raise Conflict(text, code="last_admin")


def _record(member: Membership, verb: str, actor: Actor) -> None:
    team = member.team
    details = {"user": member.user.get_username(), "role": member.role}
    audit.record(actor, f"team.{verb}", kind="team", target_id=team.pk, label=team.name, team_id=team.pk, details=details)
    events.changed("team", team.pk, team.pk)
