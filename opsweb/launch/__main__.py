"""`/usr/bin/python3 -m opsweb.launch COMMAND`, called by the Makefile; asks for root by sudo where the command needs it."""

import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from opsweb.launch import asking, commands
from opsweb.launch.errors import LaunchError
from opsweb.launch.panel import NAMES, Panel, find
from opsweb.launch.say import say

CLONE = Path(__file__).resolve().parents[2]
COMMANDS = {
    "up": commands.up,
    "restart": commands.restart,
    "status": asking.status,
    "logs": asking.logs,
    "down": commands.down,
    "admin-password": asking.admin_password,
    "clean-host": commands.clean_host,
}
# What sudo lets through beside the settings: the way to the package registries, and the answers to our own questions.
ALSO_KEPT = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "CONFIRM", "LINES", "FOLLOW")


def main(argv: list[str]) -> int:
    """Run one command; 0 when it did what it should."""
    if argv == ["develop"]:
        return commands.develop(CLONE)
    if argv == ["develop-as-root"]:
        return commands.develop_as_root(CLONE)
    if len(argv) != 1 or argv[0] not in COMMANDS:
        say(f"usage: python3 -m opsweb.launch {'|'.join([*COMMANDS, 'develop'])}")
        return 2
    panel = find(CLONE, os.environ, root=os.geteuid() == 0, starting=argv[0] == "up")
    if needs_root(panel):
        become_root(argv, os.environ)
    return COMMANDS[argv[0]](panel, os.environ)


def needs_root(panel: Panel) -> bool:
    """A real driver's worker is root; a panel that root started is root's to ask."""
    return os.geteuid() != 0 and (panel.driver == "real" or (panel.state.exists() and panel.state.stat().st_uid == 0))


def become_root(argv: list[str], environ: Mapping[str, str]) -> None:
    """Replace this process by the same command under sudo; only named variables go along. Raises: LaunchError without sudo."""
    if shutil.which("sudo") is None:
        raise LaunchError("root", "This needs root (or sudo). Without both, OPSWEB_DRIVER=fake make up shows the panel with no VMs.")
    kept = ",".join(name for name in (*NAMES, *ALSO_KEPT) if name in environ)
    preserve = [f"--preserve-env={kept}"] if kept else []
    os.execvp("sudo", ["sudo", *preserve, "--", sys.executable, "-B", "-m", "opsweb.launch", *argv])  # noqa: S606


def _end_by_signal(number: int, frame: object) -> None:
    sys.exit(128 + number)  # an exception, so that what is to be taken away again is


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end_by_signal)
    os.umask(0o022)
    os.chdir(CLONE)
    try:
        sys.exit(main(sys.argv[1:]))
    except LaunchError as error:
        print(f"opsweb: {error.message}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
