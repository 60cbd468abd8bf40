"""The way back of a change that fails half-way."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

from networks.fabric.base import FabricError


class Undo(ExitStack):
    """Runs its steps in reverse when the block fails; `pop_all()` at its end says that it has not."""

    def later(self, step: Callable[..., Any], *arguments: Any, **more: Any) -> None:
        """Remember a step. One that the host refuses stops neither the others nor the reason why all goes back."""
        self.callback(_quietly, step, *arguments, **more)


def _quietly(step: Callable[..., Any], *arguments: Any, **more: Any) -> None:
    with suppress(FabricError):
        step(*arguments, **more)
