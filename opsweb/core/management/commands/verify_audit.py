"""`manage.py verify_audit`: whether the audit log is as it was written."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from opsweb.core import chain


class Command(BaseCommand):
    help = "Walk the chain of the audit log; exit code 1 names the first entry that does not fit."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print how many entries there are and the hash of the newest: kept elsewhere, it vouches for all of them."""
        walk = chain.verify()
        if walk.misfit:
            raise CommandError(f"{walk.misfit} {walk.entries} before it fit.")
        self.stdout.write(f"{walk.entries} entries fit. Head: {walk.head or 'none yet'}")
