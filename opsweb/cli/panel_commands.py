"""`opsweb me`, `opsweb version`, `opsweb operation list|show`: about the panel, not about one object."""

import tomllib
from importlib import metadata
from pathlib import Path

from opsweb.cli.client import Json
from opsweb.cli.screen import table
from opsweb.cli.session import Session

AMOUNTS = {"instances": "INSTANCES", "vcpus": "VCPUS", "memory_mib": "MIB", "networks": "NETWORKS", "addresses": "ADDRESSES"}
HEAD = ("ID", "WHAT", "TARGET", "STATUS", "BY", "SINCE")


def me(session: Session) -> None:
    """Who the token belongs to, and the teams with what they use of their quota."""
    who = session.panel.get("me/")
    rows = [(team["name"], team["role"], *(_share(team, name) for name in AMOUNTS)) for team in who["teams"]]
    teams = table(("TEAM", "ROLE", *AMOUNTS.values()), rows)
    session.screen.result(who, f"{who['user']} at {session.panel.url} (opsweb {who['version']})\n{teams}")


def version(session: Session) -> None:
    """The version of this command; `me` tells the panel's."""
    try:
        found = metadata.version("opsweb")
    except metadata.PackageNotFoundError:  # run from a clone
        found = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["version"]
    session.screen.result({"version": found}, f"opsweb {found}")


def operations(session: Session) -> None:
    """What the panel does now."""
    found = session.panel.everything("operations/", active=1)
    rows = ((item["id"], item["verb"], item["target_label"], item["status"], item["requested_by"], item["created_at"]) for item in found)
    session.screen.items(found, table(HEAD, rows))


def operation(session: Session) -> None:
    """One operation with its steps."""
    found = session.panel.get(f"operations/{session.args.operation}/")
    lines = [f"{found['verb']} {found['target_label']}: {found['status']}", f"by {found['requested_by']}, {found['created_at']}"]
    lines += [f"  {step['name']}: {step['ms']} ms" for step in found.get("steps") or []]
    if found.get("error_message"):
        lines.append(f"  {found['error_message']} ({found['error_code']})")
    session.screen.result(found, "\n".join(lines))


def _share(team: Json, name: str) -> str:
    return f"{team['used'][name]} of {team['quota'][name]}"
