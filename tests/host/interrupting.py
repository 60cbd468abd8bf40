"""Breaks work of the worker at any one of its calls, for the scripts that do so: by a kill, or by an error that nobody expects."""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from django.db import connections

OURS = ("instances.", "networks.", "opsweb.core.")


def in_child(act: Callable[[], Any]) -> int:
    """Run `act` in a forked child; returns its wait status."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        try:
            act()
            code = 0
        except BaseException as error:  # noqa: BLE001  # the child must not run the parent's code
            print(f"child: {type(error).__name__}: {error}", file=sys.stderr)
            code = 1
        sys.stderr.flush()
        os._exit(code)
    return os.waitpid(child, 0)[1]


def interrupted_at(how: str, number: int, act: Callable[[], Any], counted: int | None = None) -> None:
    """Run `act`, and at our call number `number` die by SIGKILL ("kill") or meet an OSError ("fail").

    `counted`: a descriptor to which is written how many calls there were.
    """
    calls = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        if event != "call" or not str(frame.f_globals.get("__name__", "")).startswith(OURS):
            return
        calls += 1
        if calls == number and how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if calls == number:
            raise OSError(28, "injected: no space left on device")

    sys.setprofile(profile)
    try:
        act()
    finally:
        sys.setprofile(None)
        if counted is not None:
            os.write(counted, str(calls).encode())


def calls_of(act: Callable[[], Any]) -> int:
    """How many calls of ours it makes when nobody interrupts it, in a child."""
    reader, writer = os.pipe()
    in_child(lambda: interrupted_at("count", 0, act, writer))
    os.close(writer)
    with os.fdopen(reader) as told:
        return int(told.read())


def sampled(calls: int, samples: int) -> list[int]:
    """Numbers of so many of them, all over it."""
    return sorted({1 + index * calls // samples for index in range(samples)})
