"""QMP, one short connection per call: for `qemu`, over a VM's control socket. (The watcher keeps its own, on the watch socket.)

A monitor serves one client; another waits in the socket's queue, so calls are short and everything is bounded in time.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from qemu.qmp import ExecuteError, QMPClient, QMPError

TIMEOUT = 5.0  # seconds, for connecting and all commands together

_NAME = "opsweb-control"
logging.getLogger(f"qemu.qmp.protocol.{_NAME}").setLevel(logging.CRITICAL)  # each of its errors is an exception of ours


class MonitorGone(Exception):
    """Nobody answers on the socket: QEMU has ended or never listened."""


class MonitorSilent(Exception):
    """Somebody holds the socket and did not answer in time."""


class Refused(Exception):
    """QEMU would not do it; the message is QEMU's own sentence."""


def ask(socket: Path, command: str, arguments: Mapping[str, object] | None = None, timeout: float = TIMEOUT) -> Any:
    """The answer of one command.

    Raises: MonitorGone, MonitorSilent, Refused.
    """
    return asyncio.run(_ask(socket, ((command, arguments),), within=timeout))[0]


def status(socket: Path, timeout: float = TIMEOUT) -> str:
    """QEMU's run state: "running", "paused", "prelaunch", "shutdown", "guest-panicked" … (QAPI RunState). It may be starting.

    Raises: MonitorGone, MonitorSilent.
    """
    return str(ask(socket, "query-status", timeout=timeout)["status"])


def monitor(socket: Path, line: str) -> str:
    """What the human monitor answers to `line`; for the few things QMP lacks (hostfwd_add, info usernet).

    Raises: MonitorGone, MonitorSilent, Refused.
    """
    return str(ask(socket, "human-monitor-command", {"command-line": line})).replace("\r", "").strip()


async def _ask(socket: Path, commands: tuple[tuple[str, Mapping[str, object] | None], ...], *, within: float) -> list[Any]:
    async with session(socket, within) as client:
        return [await client.execute(command, arguments and dict(arguments)) for command, arguments in commands]


@asynccontextmanager
async def session(socket: Path, within: float) -> AsyncIterator[QMPClient]:
    """A connection for several commands, all of it within so many seconds.

    Raises, also for what is done inside: MonitorGone, MonitorSilent, Refused.
    """
    client = QMPClient(_NAME)
    try:
        async with asyncio.timeout(within):
            await client.connect(str(socket))
            yield client
    except TimeoutError:
        raise MonitorSilent(f"no answer within {within:g} s") from None
    except ExecuteError as error:
        raise Refused(str(error)) from None
    except (QMPError, OSError, EOFError) as error:
        raise MonitorGone(str(error)) from None
    finally:
        with suppress(QMPError, OSError, EOFError, TimeoutError):
            async with asyncio.timeout(1):
                await client.disconnect()
