"""Invitations: a link, used once, that makes whoever opens it a member. It holds as long as the one who made it may invite."""

import secrets
from dataclasses import replace
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from opsweb.core import access, audit, events
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, Invalid, NotFound
from opsweb.teams.models import Invitation, Membership, Team, Token
from opsweb.teams.services import lock_team

SHORTEST, LONGEST = timedelta(hours=1), timedelta(days=30)
MOST = 50  # open ones of one team


def open_ones() -> QuerySet[Invitation]:
    """Those that hold now: not expired, into a team that is not archived, made by somebody who may still invite."""
    may = Q(created_by__memberships__team=F("team"), created_by__memberships__role=Membership.RoleName.ADMIN)
    rows = Invitation.objects.filter(Q(created_by__is_superuser=True) | may, created_by__is_active=True, expires_at__gt=timezone.now())
    rows = rows.filter(team__archived_at=None)
    return rows.select_related("team", "created_by").order_by("expires_at", "pk").distinct()


def invite(team: Team, role: str, lifetime: timedelta, *, actor: Actor) -> str:
    """Make one and return its secret: the only time it is to be seen. Raises: NotFound, Forbidden; Invalid; Conflict("quota")."""
    access.require(actor, "team.invite", team.pk)
    if role not in Membership.RoleName.values:
        raise Invalid(f"A role is one of {', '.join(Membership.RoleName.values)}.", fields={"role": [role]})
    if not SHORTEST <= lifetime <= LONGEST:
        raise Invalid("An invitation holds between an hour and 30 days.", fields={"hours": []})
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        lock_team(team.pk)
        open_now = list(open_ones().filter(team=team).values_list("pk", flat=True))
        Invitation.objects.filter(team=team).exclude(pk__in=open_now).delete()
        if len(open_now) >= MOST:
            raise Conflict(f"A team has at most {MOST} open invitations. Take one back first.", code="quota")
        expires_at = timezone.now() + lifetime
        Invitation.objects.create(
            team=team, role=role, digest=Token.digest_of(secret), created_by_id=actor.user_id or 0, expires_at=expires_at
        )
        _record(team, "invite", role, actor)
    return secret


def revoke(team: Team, invitation_id: int, *, actor: Actor) -> None:
    """Take one back. Raises: NotFound, Forbidden."""
    access.require(actor, "team.invite", team.pk)
    with transaction.atomic():
        lock_team(team.pk)
        invitation = Invitation.objects.filter(pk=invitation_id, team=team).first()
        if invitation is None:
            raise NotFound("This invitation was used or taken back already.")
        invitation.delete()
        _record(team, "revoke", invitation.role, actor)


def find(secret: str) -> Invitation:
    """What the link leads to. Raises: NotFound, the same for expired, used, taken back and never made."""
    invitation = open_ones().filter(digest=Token.digest_of(secret)).first()
    if invitation is None:
        raise NotFound
    return invitation


def join(secret: str, *, actor: Actor) -> Invitation:
    """Use the link. Raises: NotFound; Conflict("member") for who is in the team already, and the link stays unused."""
    with transaction.atomic():
        invitation = find(secret)
        team = lock_team(invitation.team_id)
        if not Invitation.objects.filter(pk=invitation.pk).delete()[0]:
            raise NotFound  # of two at once, the first has it
        if Membership.objects.filter(team=team, user=actor.user_id).exists():
            raise Conflict(f"You are in {team} already.", code="member")
        Membership.objects.create(team=team, user_id=actor.user_id or 0, role=invitation.role)
        _record(team, "join", invitation.role, actor)
    return invitation


def join_as_new(secret: str, name: str, password: str, *, actor: Actor) -> User:
    """Make an account and use the link, or neither. Raises: as `join`; Conflict("name_taken")."""
    with transaction.atomic():
        lock_team(find(secret).team_id)  # before the end of the audit log's chain is held
        try:
            with transaction.atomic():
                user = User.objects.create_user(name, password=password)
        except IntegrityError as error:
            raise Conflict("Somebody has this name. Take another one.", code="name_taken", fields={"username": [name]}) from error
        actor = replace(actor, user_id=user.pk, name=user.get_username())
        audit.record(actor, "user.create", kind="user", target_id=user.pk, label=user.get_username(), team_id=None)
        join(secret, actor=actor)
    return user


def _record(team: Team, verb: str, role: str, actor: Actor) -> None:
    details = {"role": role}
    audit.record(actor, f"team.{verb}", kind="team", target_id=team.pk, label=team.name, team_id=team.pk, details=details)
    events.changed("team", team.pk, team.pk)
