"""`opsweb instance …`: create, look at, switch and delete instances."""

from pathlib import Path

from opsweb.cli import config_file, creating, operations, targets
from opsweb.cli.client import Json
from opsweb.cli.problems import Problem
from opsweb.cli.screen import table
from opsweb.cli.session import Session


def create(session: Session) -> None:
    """Create an instance of an image and start it."""
    args, panel, screen = session.args, session.panel, session.screen
    if args.target not in (None, targets.OURS):
        raise targets.refusal(args.target, args.image, args.config, args.port or [])
    creating.check_ports(args, panel)
    config = config_file.load(Path(args.config), panel, screen) if args.config else None
    name = args.name or (config.instance_name if config else None)
    body = creating.request(args, panel, args.image, name) | ({"config": config.text} if config else {})
    instance, operation = creating.create(panel, screen, body)
    instance = _started_or_said(session, instance, operation)
    screen.result(instance, creating.summary(instance))


def _started_or_said(session: Session, instance: Json, operation: Json | None) -> Json:
    try:
        return creating.started(session.panel, instance, operation)
    except Problem:
        name = instance["name"]
        session.screen.say(f"opsweb: {name} was created and did not start; `opsweb instance delete {name}` removes it.")
        raise


def list_all(session: Session) -> None:
    """All instances that one may see."""
    instances = session.panel.everything("instances/", team=session.panel.team)
    session.screen.items(instances, table(creating.HEAD, (creating.row(instance) for instance in instances)))


def show(session: Session) -> None:
    """One instance, as the panel knows it."""
    instance = _named(session)
    session.screen.result(instance, creating.details(instance))


def switch(session: Session) -> None:
    """Start, stop, force-off, reboot, reset, pause or resume; returns when it is done."""
    panel, verb = session.panel, session.args.verb
    instance = _named(session)
    operation = operations.finish(panel, panel.post(f"instances/{instance['id']}/actions/", {"verb": verb}))
    label = panel.get(f"instances/{instance['id']}/")["label"]
    session.screen.result(operation, f"{instance['name']}: {label}")


def delete(session: Session) -> None:
    """Force off and remove an instance with its console log."""
    panel = session.panel
    instance = _named(session)
    operation = operations.finish(panel, panel.delete(f"instances/{instance['id']}/"))
    session.screen.result(operation, f"{instance['name']}: deleted")


def _named(session: Session) -> Json:
    return session.panel.find("instances", session.args.instance)
