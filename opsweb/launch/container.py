"""What an image's build and its first container do in place of `make up`. Called by the Dockerfile and by docker-compose.yml's `init`."""

import os
import sys
from pathlib import Path

from opsweb.launch import accounts, host, kernel, manage
from opsweb.launch.panel import Panel, find, render
from opsweb.launch.placing import Placed
from opsweb.launch.say import say

KERNEL = Path("/usr/share/opsweb/kernel")
CODE = Path(__file__).resolve().parents[2]


def build() -> None:
    """While the image is built: the user, and the guests' kernel."""
    parts = accounts.ensure()
    KERNEL.mkdir(parents=True, exist_ok=True)
    kernel.fetch(KERNEL, parts.gid)


def first_start() -> None:
    """In the first container, as root: directories and key on the volumes, the database, the first admin."""
    panel = find(CODE, os.environ, root=True, starting=True)
    parts = accounts.ensure()
    host.make_directories(panel, parts, manage.root())
    host.write(panel.remembered, render(panel.given), mode=0o600)
    host.make_secret_key(panel, parts)
    placed = Placed(CODE, Path(sys.executable))
    manage.run(panel, placed, parts, "migrate", "--no-input", "--verbosity", "0")
    _greet(panel, manage.first_start(panel, placed, parts, token=False))


def _greet(panel: Panel, first: dict[str, str | None]) -> None:
    say(f"opsweb: {panel.url}  admin: {first['admin']}  one-time password: {first['password'] or 'used'}")


if __name__ == "__main__":
    {"build": build, "first-start": first_start}[sys.argv[1]]()
