"""Shows a running instance's console until it has ended, whatever breaks in between. Used by `run` and `logs -w`."""

import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from opsweb.cli.client import Json, Panel
from opsweb.cli.console import Console
from opsweb.cli.problems import Problem
from opsweb.cli.screen import Screen

LONG_POLL_SECONDS = 20
BOOT_SECONDS = 60.0
PROGRAM = "program"  # the milestone of a boot at which the program is started
STDIN = 0
Outcome = Json | BaseException


class Follower:
    """Three threads, one queue: the console, the wait for the end, and what is typed; the main thread alone hears signals."""

    def __init__(self, panel: Panel, screen: Screen, instance: Json, *, offset: int | None) -> None:
        self._panel, self._instance = panel, instance
        # With --json stdout belongs to the one document.
        self._out = sys.stderr.buffer if screen.as_json else sys.stdout.buffer
        self.console = Console(panel, instance, offset=offset, sink=self._show, notice=screen.say)
        self._outcome: queue.Queue[Outcome] = queue.Queue()
        self._over = threading.Event()

    def follow(self, *, typed: bool, interrupted: Callable[[], None]) -> Json:
        """Returns the instance as it ended. `interrupted` is called on Ctrl-C; what it raises ends the following.

        Raises: Problem; BrokenPipeError if nobody reads stdout any more.
        """
        pump = self._begin(self.console.pump)
        self._begin(self._await_end)
        if typed and _may_read_stdin():
            self._begin(self._pass_on_stdin)
        try:
            ended = self._wait(interrupted)
        finally:
            self._over.set()
            self.console.close()
        pump.join()
        self.console.read_rest()
        return ended

    def _wait(self, interrupted: Callable[[], None]) -> Json:
        while True:
            try:
                outcome = self._outcome.get()
            except KeyboardInterrupt:
                interrupted()
                continue
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

    def _begin(self, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=self._guarded, args=(work,), daemon=True)
        thread.start()
        return thread

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (Problem, OSError, ValueError, KeyError) as error:
            self._outcome.put(error)

    def _await_end(self) -> None:
        path = f"instances/{self._instance['id']}/"
        while not self._over.is_set():
            seen = self._panel.patient(lambda: self._panel.get(path, held=LONG_POLL_SECONDS, wait_for="ended", timeout=LONG_POLL_SECONDS))
            if seen.get("waited_for"):
                self._outcome.put(seen)
                return

    def _pass_on_stdin(self) -> None:
        self.console.opened.wait()
        if not os.isatty(STDIN):
            self._await_program()
        with suppress(OSError):
            while data := os.read(STDIN, 4096):
                self.console.write(data)

    def _await_program(self) -> None:
        """A pipe would be empty before the guest has opened its console: what came until then would be lost."""
        deadline = time.monotonic() + BOOT_SECONDS
        while not self._over.is_set() and time.monotonic() < deadline:
            seen = self._panel.patient(lambda: self._panel.get(f"instances/{self._instance['id']}/"))
            if any(reached["name"] == PROGRAM for reached in seen["boot"]):
                return
            self._over.wait(0.3)

    def _show(self, data: bytes) -> None:
        self._out.write(data)
        self._out.flush()


def _may_read_stdin() -> bool:
    """A job in the background would be stopped for reading its terminal."""
    try:
        return os.tcgetpgrp(STDIN) == os.getpgrp()
    except OSError:  # not our controlling terminal, or none: nothing stops us
        return True
