"""How a VM's last boot ended, judged from what is left of it: pure, for `qemu`."""

from .base import Exit, ExitReason, Power
from .status import Said

# QEMU's run states of a guest that will not go on; "shutdown": it powered off.
ENDED_STATES = frozenset({"shutdown", "guest-panicked", "internal-error"})

_PANICKED = "The guest's kernel panicked; the end of its console says why."
_SILENT = "QEMU ended without a word: it was killed, or it crashed."


def ending(state: str | None, said: Said, *, asked: bool, words: str) -> tuple[Power, Exit]:
    """Power and exit facts of a boot that is over.

    `state`: the run state its QEMU was left in, None when that is not known (its process ended by itself). `asked`: powerdown() or
    kill() was called. `words`: the tail of QEMU's stderr.
    """
    if state == "guest-panicked":
        return Power.CRASHED, Exit(ExitReason.CRASH, said.code, said.signal, _PANICKED)
    if state == "internal-error":
        return Power.CRASHED, Exit(ExitReason.CRASH, said.code, said.signal, f"QEMU met an internal error. {words}".strip())
    if asked:
        return Power.STOPPED, Exit(ExitReason.REQUEST, said.code, said.signal)
    if said.ended or state == "shutdown":
        return Power.STOPPED, Exit(ExitReason.GUEST, said.code, said.signal)
    return Power.CRASHED, Exit(ExitReason.CRASH, message=words or _SILENT)
