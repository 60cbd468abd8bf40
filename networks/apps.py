"""Registers networks."""

from django.apps import AppConfig
from django.db.models.signals import pre_delete


class NetworksConfig(AppConfig):
    name = "networks"

    def ready(self) -> None:
        """Teams know nothing of networks, whichever door deletes one."""
        from networks.services.publishing import forget_team

        pre_delete.connect(forget_team, sender="teams.Team", dispatch_uid="networks.forget_team")
