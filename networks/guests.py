"""What networks know of an instance: they may not import that app, and need no more."""

from typing import Protocol
from uuid import UUID

from opsweb.core.models import Host


class Guest(Protocol):
    """An instance, as far as its NICs and rules go."""

    @property
    def pk(self) -> UUID:
        """Its id."""

    @property
    def name(self) -> str:
        """Its name in its team."""

    @property
    def team_id(self) -> int:
        """Whose it is."""

    @property
    def host(self) -> Host:
        """Where it runs."""
