"""Writes of teams: tokens, first members, passwords; and the quota, which every create asks inside its own transaction."""

import secrets
from dataclasses import astuple, dataclass

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F

from opsweb.core import audit
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict
from opsweb.teams.actors import TOKEN_PREFIX
from opsweb.teams.models import Membership, OneTimePassword, Team, Token


@dataclass(frozen=True)
class Usage:
    """How much a team has, or wants on top; memory in MiB."""

    instances: int = 0
    vcpus: int = 0
    memory_mib: int = 0
    networks: int = 0
    addresses: int = 0
    forwards: int = 0
    rules: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(mine + others for mine, others in zip(astuple(self), astuple(other), strict=True)))


KINDS = {"vcpus": ("vCPUs", ""), "memory_mib": ("memory", " MiB")}  # of a usage → (word, unit), where it is not the same word


def check_quota(team: Team, used: Usage, wanted: Usage) -> None:
    """Raises: Conflict("quota") with figures. Call it inside the transaction that writes the row, with the team's row locked.

    What does not grow is not judged: a team that is over one limit may still use what is left of the others.
    """
    over = []
    for kind, more in vars(wanted).items():
        amount, limit = getattr(used, kind) + more, getattr(team, f"quota_{kind}")
        if more > 0 and amount > limit:
            word, unit = KINDS.get(kind, (kind, ""))
            over.append(f"{word}: {amount}{unit} of {limit}{unit}")
    if over:
        advice = "Delete or shrink something, or ask an admin for more."
        raise Conflict(f"Team {team.name} would pass its quota ({'; '.join(over)}). {advice}", code="quota")


def lock_team(team_id: int) -> Team:
    """The team, with its row written to: the second of two transactions waits for the first (both databases), so a quota holds."""
    Team.objects.filter(pk=team_id).update(name=F("name"))
    return Team.objects.get(pk=team_id)


def create_token(user: User, label: str, *, actor: Actor, scopes: str = "read write") -> str:
    """Make a token and return its secret: the only time it is to be seen."""
    secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        token = Token.objects.create(user=user, label=label, digest=Token.digest_of(secret), prefix=secret[3:9], scopes=scopes)
        audit.record(actor, "token.create", kind="token", target_id=token.pk, label=label, team_id=None, details={"user": user.username})
    return secret


def add_member(team: Team, user: User, role: str, *, actor: Actor) -> Membership:
    """Give `user` the role in `team`, in place of the one they had."""
    with transaction.atomic():
        member, _ = Membership.objects.update_or_create(team=team, user=user, defaults={"role": role})
        audit.record(
            actor,
            "team.member",
            kind="team",
            target_id=team.pk,
            label=team.name,
            team_id=team.pk,
            details={"user": user.username, "role": role},
        )
    return member


def give_one_time_password(user: User, *, actor: Actor) -> str:
    """A new random password that must be changed at the first sign-in."""
    password = secrets.token_urlsafe(12)
    with transaction.atomic():
        user.set_password(password)
        user.save(update_fields=["password"])
        OneTimePassword.objects.update_or_create(user=user)
        audit.record(actor, "user.password", kind="user", target_id=user.pk, label=user.username, team_id=None)
    return password
