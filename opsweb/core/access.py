"""Who may do what: the only permission code. Pure: it judges an `Actor` that `opsweb.teams.actors` builds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model, QuerySet

from opsweb.core.errors import Forbidden, NotFound

M = TypeVar("M", bound=Model)


class Role(IntEnum):
    """A member's role in a team; a higher one includes the lower."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


class Scope:
    """What a token may be used for. A session has them all."""

    READ = "read"
    WRITE = "write"
    ALL = frozenset({READ, WRITE})


@dataclass(frozen=True)
class Actor:
    """Who asks, as far as permission goes. `roles` maps a team's id to the role there; `archived` are teams where nothing changes."""

    user_id: int | None
    name: str
    superuser: bool = False
    roles: Mapping[int, Role] = field(default_factory=dict)
    archived: frozenset[int] = frozenset()
    scopes: frozenset[str] = Scope.ALL
    via: str = "browser"  # "browser", "api", "system"
    request_id: str = ""
    address: str = ""

    @property
    def audited_teams(self) -> list[int]:
        """The teams whose audit log they may read; a superuser reads everything without being in any."""
        return [team for team, role in self.roles.items() if role >= Role.ADMIN]


SYSTEM = Actor(user_id=None, name="opsweb", superuser=True, via="system")

# The least role for each verb, said once: views, API, sockets and templates read it here.
LEAST_ROLE: dict[str, Role] = {
    "instance.view": Role.VIEWER,
    "instance.create": Role.OPERATOR,
    "instance.edit": Role.OPERATOR,
    "instance.start": Role.OPERATOR,
    "instance.stop": Role.OPERATOR,
    "instance.force-off": Role.OPERATOR,
    "instance.pause": Role.OPERATOR,
    "instance.resume": Role.OPERATOR,
    "instance.reboot": Role.OPERATOR,
    "instance.reset": Role.OPERATOR,
    "instance.delete": Role.OPERATOR,
    "instance.rules": Role.OPERATOR,
    "console.read": Role.VIEWER,
    "console.write": Role.OPERATOR,
    "image.view": Role.VIEWER,
    "image.create": Role.OPERATOR,
    "image.delete": Role.OPERATOR,
    "upload.create": Role.OPERATOR,
    "network.view": Role.VIEWER,
    "network.create": Role.OPERATOR,
    "network.edit": Role.OPERATOR,
    "network.repair": Role.OPERATOR,
    "network.rules": Role.OPERATOR,
    "network.delete": Role.OPERATOR,
    "group.view": Role.VIEWER,
    "group.create": Role.OPERATOR,
    "group.edit": Role.OPERATOR,
    "group.delete": Role.OPERATOR,
    "team.view": Role.VIEWER,
    "team.leave": Role.VIEWER,
    "team.members": Role.ADMIN,
    "team.invite": Role.ADMIN,
}
OF_SUPERUSERS = frozenset({"team.create", "team.quota", "team.archive", "team.restore"})  # no role is enough
OWN = frozenset({"team.leave"})  # of a viewer's, what changes something all the same: one's own


def refusal(actor: Actor, verb: str, team_id: int | None) -> str:
    """Why `actor` may not do `verb` in the team; "" when they may. Raises: KeyError for a verb that is not in the table."""
    least = None if verb in OF_SUPERUSERS else LEAST_ROLE[verb]
    scope = Scope.READ if least is Role.VIEWER and verb not in OWN else Scope.WRITE
    if scope not in actor.scopes:
        return f"This token may not {scope}. Make one with the scope “{scope}”."
    if team_id in actor.archived and scope is Scope.WRITE and verb != "team.restore":
        return "The team is archived. An admin of the panel can restore it."
    if actor.superuser:
        return ""
    if least is None or team_id is None:
        return "This is for admins of the panel."
    if actor.roles.get(team_id, 0) >= least:
        return ""
    return f"This needs the role “{least.name.lower()}” in the team. An admin of the team can give it to you."


def require(actor: Actor, verb: str, team_id: int | None) -> None:
    """Raises: NotFound to a stranger of the team, Forbidden to a member whose role is too low. None: it is about no team that there is."""
    if team_id is not None and not actor.superuser and team_id not in actor.roles:
        raise NotFound
    if reason := refusal(actor, verb, team_id):
        raise Forbidden(reason)


def visible(actor: Actor, queryset: QuerySet[M]) -> QuerySet[M]:
    """The rows of `queryset` (a model with a `team`) that `actor` may see."""
    if Scope.READ not in actor.scopes:
        return queryset.none()
    return queryset if actor.superuser else queryset.filter(team_id__in=list(actor.roles))


def may_audit(actor: Actor) -> bool:
    """Whether there is an audit log for `actor` to read."""
    return Scope.READ in actor.scopes and (actor.superuser or bool(actor.audited_teams))


def auditable(actor: Actor, queryset: QuerySet[M]) -> QuerySet[M]:
    """The rows of `queryset` (a model with a `team`) that `actor` may audit. Raises: Forbidden to who may audit nothing."""
    if not may_audit(actor):
        raise Forbidden("The audit log is for admins of a team. An admin of yours can make you one.")
    return queryset if actor.superuser else queryset.filter(team_id__in=actor.audited_teams)


def get_or_404(actor: Actor, queryset: QuerySet[M], **lookup: Any) -> M:
    """The one visible row. Raises: NotFound, the same for “not there” and “not yours” (INV-15)."""
    try:
        return visible(actor, queryset).get(**lookup)
    except ObjectDoesNotExist as error:
        raise NotFound from error
