"""What every command gets: the parsed command line, the screen, and the panel, which is signed in to on first use."""

import os
from argparse import Namespace
from functools import cached_property
from pathlib import Path

from opsweb.cli import credentials
from opsweb.cli.client import Panel
from opsweb.cli.screen import Screen


class Session:
    """One run of the `opsweb` command."""

    def __init__(self, args: Namespace, screen: Screen) -> None:
        self.args, self.screen = args, screen

    @cached_property
    def panel(self) -> Panel:
        """Raises: Usage, NotAllowed when address or token are not known."""
        found = credentials.find(self.args.url or "", self.args.token or "", os.environ, Path.home(), self.screen.say)
        return Panel(found, self.args.team or "")
