"""Lets a change of the Linux fabric fail, or its process die, at any one of its steps (T1)."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from pyroute2 import IPRoute

from networks.fabric import dnsmasq, files, netlink, routes, sysctls, taps
from networks.fabric.base import FabricError

_CHANGING = ("link", "addr", "route", "fdb", "brport")
_PLAIN = ((files, "write"), (files, "make_directory"), (sysctls, "write"), (dnsmasq, "_start"), (taps, "_set_interface"), (routes, "put"))


@dataclass
class Steps:
    """Counts steps; at number `at` calls `hit`, once."""

    at: int = 0
    hit: Callable[[str], None] = lambda name: None
    seen: list[str] = field(default_factory=list)

    def pass_by(self, name: str) -> None:
        """One step is about to be done."""
        self.seen.append(name)
        if len(self.seen) == self.at:
            self.hit(name)


class _Watched:
    """An IPRoute whose changes are steps."""

    def __init__(self, steps: Steps) -> None:
        self._steps, self._ip = steps, IPRoute()

    def __enter__(self) -> "_Watched":
        self._ip.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._ip.__exit__(*error)

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._ip, name)
        if name not in _CHANGING:
            return call

        def watched(verb: str, *arguments: Any, **more: Any) -> Any:
            if verb not in ("get", "dump"):
                self._steps.pass_by(f"{name} {verb}")
            return call(verb, *arguments, **more)

        return watched


@contextmanager
def watched(steps: Steps) -> Iterator[None]:
    """Every change of the fabric inside passes by `steps`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(netlink, "IPRoute", lambda: _Watched(steps))
        for module, name in _PLAIN:
            patch.setattr(module, name, _counted(steps, f"{module.__name__}.{name}", getattr(module, name)))
        yield


def _counted(steps: Steps, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*arguments: Any, **more: Any) -> Any:
        steps.pass_by(name)
        return call(*arguments, **more)

    return counted


def refuse(name: str) -> None:
    """As a kernel that has had enough."""
    raise FabricError("link_refused", f"Refused on purpose: {name}.")


def die(name: str) -> None:
    """As by SIGKILL: nothing is undone."""
    os._exit(9)


def in_a_child(work: Callable[[], object]) -> int:
    """Its exit code; descriptors that it opened are gone with it."""
    child = os.fork()
    if child == 0:
        code = 1  # whatever happens, this copy of pytest must not go on
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
