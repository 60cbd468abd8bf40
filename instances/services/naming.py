"""Names that are free in a team, for things that nobody named. Called by the doors before a create, which has the last word."""

from instances.models import Image, Instance
from opsweb.teams.models import Team

LONGEST = 40
NUMBER = 4  # characters kept for "-123"


def free_name(model: type[Image] | type[Instance], team: Team, wanted: str) -> str:
    """`wanted`, or with the first number that makes it free."""
    stem = wanted[: LONGEST - NUMBER].rstrip("-")
    taken = set(model.objects.filter(team=team, name__startswith=stem).values_list("name", flat=True))
    numbered = (f"{stem}-{number}" for number in range(2, len(taken) + 3))
    return next(name for name in (wanted, *numbered) if name not in taken)
