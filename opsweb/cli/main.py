"""Where the `opsweb` command begins and ends: parse, do, and turn every problem into a sentence and an exit code."""

import os
import sys
from collections.abc import Sequence

from opsweb.cli import arguments, signals
from opsweb.cli.problems import INTERRUPTED, Problem
from opsweb.cli.screen import Screen
from opsweb.cli.session import Session


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (table in docs/cli.md)."""
    words = sys.argv[1:] if argv is None else list(argv)
    screen = Screen(as_json=arguments.wants_json(words))
    signals.hear()
    try:
        return _do(words, screen)
    except Problem as problem:
        screen.problem(problem)
        return problem.exit_code
    except KeyboardInterrupt:
        screen.say("Interrupted.")
    except BrokenPipeError:
        # Nobody reads on: the interpreter's last flush must not fail as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return INTERRUPTED


def _do(words: Sequence[str], screen: Screen) -> int:
    args = arguments.parse(words)
    for name in ("team", "url", "token"):
        setattr(args, name, getattr(args, name, None))
    result: int | None = args.command(Session(args, screen))
    return result or 0
