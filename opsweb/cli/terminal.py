"""The terminal in raw mode on an instance's console. Used by `instance console` only."""

import os
import select
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from opsweb.cli.client import Json, Panel
from opsweb.cli.console import Console, Roles
from opsweb.cli.problems import Problem, Usage
from opsweb.cli.screen import harmless

STDIN = 0
LEAVE, TAKE = b"\x1d", b"\x14"  # Ctrl-], Ctrl-T


def attach(panel: Panel, instance: Json) -> None:
    """Connect the terminal with the guest until Ctrl-]. Raises: Usage without a terminal, Problem of the panel."""
    if not os.isatty(STDIN):
        raise Usage("`console` needs a terminal; `opsweb instance logs -w` shows the output without one.", code="no_terminal")
    _Session(panel, instance).run()


class _Session:
    def __init__(self, panel: Panel, instance: Json) -> None:
        self._name = str(instance["name"])
        self._console = Console(panel, instance, offset=None, sink=_show, notice=_say, changed=self._changed)
        self._roles, self._label = Roles(), self._console.label
        self._problem: Exception | None = None
        self._ended, self._wake = os.pipe()

    def run(self) -> None:
        pump = threading.Thread(target=self._pump, daemon=True)
        with _raw():
            _say(f"Connected to {self._name}; leave with Ctrl-].")
            pump.start()
            try:
                self._type()
            finally:
                self._console.close()
                pump.join()
                os.close(self._ended)
        if self._problem is not None:
            raise self._problem
        print(file=sys.stderr)

    def _pump(self) -> None:
        try:
            self._console.pump()
        except (Problem, OSError, ValueError, KeyError) as error:
            self._problem = error
        os.close(self._wake)

    def _type(self) -> None:
        while True:
            ready, _, _ = select.select([STDIN, self._ended], [], [])
            if self._ended in ready:
                return
            data = os.read(STDIN, 4096)
            before, leave, _ = data.partition(LEAVE)
            self._send(before)
            if leave or not data:
                return

    def _send(self, data: bytes) -> None:
        roles = self._console.roles
        if roles.you_write or not roles.writer:
            if data and self._console.opened.is_set() and not roles.may_write:
                _say("Your role may watch this console, not type into it.")
            elif data:
                self._console.write(data)
        elif TAKE in data and roles.may_write:
            self._console.take()

    def _changed(self) -> None:
        roles, label = self._console.roles, self._console.label
        if roles.writer and not roles.you_write and (roles.writer != self._roles.writer or self._roles.you_write):
            _say(f"{roles.writer} is typing here." + (" Ctrl-T takes over." if roles.may_write else ""))
        if roles.you_write and not self._roles.you_write and self._roles.writer:
            _say("Now you type here.")
        if label != self._label:
            _say(f"{self._name}: {label}")
        self._roles, self._label = roles, label


@contextmanager
def _raw() -> Iterator[None]:
    before = termios.tcgetattr(STDIN)
    tty.setraw(STDIN)
    try:
        yield
    finally:
        termios.tcsetattr(STDIN, termios.TCSADRAIN, before)


def _show(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _say(text: str) -> None:
    print(f"\r\n[{harmless(text)}]\r\n", end="", file=sys.stderr, flush=True)
