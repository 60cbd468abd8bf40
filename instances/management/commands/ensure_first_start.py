"""`manage.py ensure_first_start`: run by every `make up`; prints one line of JSON for it."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from instances.services import first_start
from opsweb.core.access import SYSTEM
from opsweb.teams.services import create_token


class Command(BaseCommand):
    help = "Make the host's row, the first admin and the demo team if they are not there."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """`--token`: also make a CLI token for the first admin."""
        parser.add_argument("--token", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print {"admin", "password", "token"}."""
        admin = first_start.ensure()
        token = create_token(admin, "make up", actor=SYSTEM) if options["token"] else None
        answer = {"admin": admin.username, "password": first_start.one_time_password(admin), "token": token}
        self.stdout.write(json.dumps(answer))
