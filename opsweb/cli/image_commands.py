"""`opsweb image create|list|show|delete`."""

from opsweb.cli import operations
from opsweb.cli.building import build
from opsweb.cli.client import Json
from opsweb.cli.problems import Refused
from opsweb.cli.screen import harmless, noted, table
from opsweb.cli.session import Session
from opsweb.cli.sources import collect

HEAD = ("NAME", "STATE", "KIND", "ARCH", "SIZE", "USED BY", "TEAM")
MIB = 1024**2


def create(session: Session) -> None:
    """Build an image from a program and what its config names."""
    args, panel, screen = session.args, session.panel, session.screen
    sources = collect(args.elf, args.config, panel, screen)
    name = args.name or (sources.config.image_name if sources.config else "") or sources.name
    if panel.get("images/", name=name, team=panel.team or panel.get("me/")["default_team"])["items"]:
        raise Refused(f"There is an image called {name}. Take another name with -i, or delete that one first.", code="name_taken")
    image = build(panel, screen, sources, name)
    screen.result(image, f"{image['name']}: {image['state']}, {_mib(image)}")


def list_all(session: Session) -> None:
    """All images that one may see."""
    images = session.panel.everything("images/", team=session.panel.team)
    session.screen.items(images, table(HEAD, (_row(image) for image in images)))


def show(session: Session) -> None:
    """One image."""
    image = session.panel.find("images", session.args.image)
    facts = {"name": image["name"], "state": image["state"], "error": image.get("error"), "id": image["id"], "team": image["team"]}
    facts |= {"kind": image["kind"], "arch": image["arch"], "program": image.get("program"), "size": _mib(image)}
    facts |= {"digest": image.get("digest"), "used by": image["in_use_by"], "created": f"{image['created_at']} by {image['created_by']}"}
    lines = [f"{name + ':':<10}{harmless(value)}" for name, value in facts.items() if value not in (None, "")]
    session.screen.result(image, "\n".join([*lines, *map(noted, image.get("notes") or [])]))


def delete(session: Session) -> None:
    """Remove an image that no instance uses."""
    panel = session.panel
    image = panel.find("images", session.args.image)
    operation = operations.finish(panel, panel.delete(f"images/{image['id']}/"))
    session.screen.result(operation, f"{image['name']}: deleted")


def _row(image: Json) -> tuple[object, ...]:
    return (image["name"], image["state"], image["kind"], image["arch"], _mib(image), image["in_use_by"] or "-", image["team"])


def _mib(image: Json) -> str:
    return f"{(image.get('size') or 0) / MIB:.1f} MiB"
