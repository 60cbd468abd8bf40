"""`opsweb run`: a program on this machine becomes a running instance, its console here, and both end together."""

import secrets
from argparse import Namespace
from contextlib import ExitStack
from typing import Any

from opsweb.cli import building, creating, operations
from opsweb.cli.client import Json, Panel
from opsweb.cli.following import Follower
from opsweb.cli.problems import INTERRUPTED, NotFound, Problem, Refused
from opsweb.cli.screen import Screen
from opsweb.cli.session import Session
from opsweb.cli.signals import held_back
from opsweb.cli.sources import NAME_LENGTH, Sources, collect

DIGEST_LENGTH = 12
FAILED = 1
FIRST_SIGNAL = 128


def run(session: Session) -> int:
    """Pack, upload, build, create, start; then follow the console, or leave it running with -d. Returns the program's exit code."""
    args, panel, screen = session.args, session.panel, session.screen
    creating.check_ports(args, panel)
    sources = collect(args.elf, args.config, panel, screen)
    with ExitStack() as undo:
        image = _image(panel, screen, sources, undo)
        instance, operation = _instance(args, panel, screen, image, sources, undo)
        instance = creating.started(panel, instance, operation)
        if args.detach:
            undo.pop_all()
            screen.result(instance, creating.summary(instance))
            return 0
        _announce(screen, instance)
        return _follow(panel, screen, instance)


def _image(panel: Panel, screen: Screen, sources: Sources, undo: ExitStack) -> Json:
    """The image of exactly these files: our own from an earlier run, or a new one, which goes when the run is over."""
    name, me = image_name(sources), panel.get("me/")
    found = panel.get("images/", name=name, team=panel.team or me["default_team"])["items"]
    if found and found[0]["state"] == "ready" and found[0]["created_by"] == me["user"]:
        mine: Json = found[0]
        return mine
    if found:  # somebody else's word for what is in it does not count
        name = f"{_stem(sources, DIGEST_LENGTH)}-{secrets.token_hex(DIGEST_LENGTH // 2)}"
    image = building.build(panel, screen, sources, name)
    undo.callback(building.discard, panel, image)
    return image


def image_name(sources: Sources) -> str:
    """The program's name with a digest of everything that goes in: other bytes, another image."""
    return f"{_stem(sources, DIGEST_LENGTH)}-{sources.digest()[:DIGEST_LENGTH]}"


def _stem(sources: Sources, room: int) -> str:
    return sources.name[: NAME_LENGTH - room - 1].rstrip("-")


def _instance(args: Namespace, panel: Panel, screen: Screen, image: Json, sources: Sources, undo: ExitStack) -> tuple[Json, Json | None]:
    wanted = args.name or (sources.config.instance_name if sources.config else "")
    body = creating.request(args, panel, str(image["id"]), wanted or sources.name)
    if not args.detach:
        body |= {"restart_policy": "never", "autostart": False}
    try:
        return _created(panel, screen, body, undo)
    except Refused as problem:
        if wanted or problem.code != "name_taken":
            raise
    # Nobody asked for this very name: a second run of the same program gets its own.
    return _created(panel, screen, body | {"name": f"{_stem(sources, 4)}-{secrets.token_hex(2)}"}, undo)


def _created(panel: Panel, screen: Screen, body: Json, undo: ExitStack) -> tuple[Json, Json | None]:
    with held_back():
        instance, operation = creating.create(panel, screen, body)
        undo.callback(_remove, panel, screen, instance)
    return instance, operation


def _announce(screen: Screen, instance: Json) -> None:
    screen.say(f"{creating.summary(instance)}\nCtrl-C stops and removes it.")


def _follow(panel: Panel, screen: Screen, instance: Json) -> int:
    follower = Follower(panel, screen, instance, offset=0)
    stopping = _Stopping(panel, screen, instance)
    ended = follower.follow(typed=True, interrupted=stopping.interrupted)
    if screen.as_json:
        screen.result(ended, "")
    return INTERRUPTED if stopping.asked else exit_code(screen, ended)


class _Stopping:
    """The first Ctrl-C asks the guest to end, the second ends it."""

    def __init__(self, panel: Panel, screen: Screen, instance: Json) -> None:
        self._panel, self._screen, self._instance = panel, screen, instance
        self.asked = False

    def interrupted(self) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._screen.say(f"\nStopping {self._instance['name']}; Ctrl-C again forces it off.")
        try:
            self._panel.post(f"instances/{self._instance['id']}/actions/", {"verb": "stop"})
        except Problem as problem:
            raise KeyboardInterrupt from problem  # it can't be asked now: removing it ends it


def exit_code(screen: Screen, ended: Json) -> int:
    """The program's code, 128 + the signal that ended it, or 1 with a sentence when the guest did not say."""
    facts: dict[str, Any] = ended.get("exit") or {}
    if facts.get("signal"):
        screen.say(f"{ended['name']} was ended by signal {facts['signal']}.")
        return FIRST_SIGNAL + int(facts["signal"])
    if facts.get("code") is not None:
        return int(facts["code"]) & 0xFF
    screen.say(f"{ended['name']} ended without an exit code: {facts.get('message') or facts.get('reason') or ended['label']}.")
    return FAILED


def _remove(panel: Panel, screen: Screen, instance: Json) -> None:
    """Also ends it if it still runs. What can't be removed is named: it is the person's to know."""
    try:
        operations.finish(panel, panel.delete(f"instances/{instance['id']}/"), seconds=operations.DELETE_SECONDS)
    except NotFound:
        return
    except (Problem, KeyboardInterrupt) as problem:
        why = f" ({problem.message})" if isinstance(problem, Problem) else ""
        screen.say(f"opsweb: {instance['name']} was not removed{why}; do it with `opsweb instance delete {instance['name']}`.")
        if isinstance(problem, KeyboardInterrupt):
            raise
