"""`manage.py one_time_password`: a new one for the first admin (`make admin-password`)."""

from typing import Any

from django.core.management.base import BaseCommand

from instances.services import first_start
from opsweb.core.access import SYSTEM
from opsweb.teams.services import give_one_time_password


class Command(BaseCommand):
    help = "Give the first admin a new one-time password and print it."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the name and the password."""
        admin = first_start.first_admin()
        self.stdout.write(f"{admin.username}  {give_one_time_password(admin, actor=SYSTEM)}")
