"""NICs of a running QEMU that come and go: what `qemu` asks on a VM's control socket for that.

Descriptors travel beside the command `getfd` (SCM_RIGHTS, unix(7)), so the sandbox stays as it is. A network device has two halves, which
come and go in this order: its backend (netdev, which holds the tap) first in and last out, the device that the guest sees after it.
"""

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from qemu.qmp import ExecuteError, QMPClient

from . import argv, launch, qmp
from .base import RELEASE_TIMEOUT, DriverError, TapNic
from .ports import KEPT, need_port

_PERIPHERAL = "/machine/peripheral"
_PORT = re.compile(r"port(\d+)", re.ASCII)
_TAP = re.compile(r"^ \\ net(\d+): index=\d+,type=tap,fd=(\d+)\r?$", re.ASCII | re.MULTILINE)  # one line a queue
_NOT_FOUND = "DeviceNotFound"
_NO_FD = "not found"  # how closefd's error ends, which has no class of its own
_ON_ITS_WAY = "in the process of unplug"


def ports(socket: Path) -> Mapping[int, str]:
    """Number of each root port → MAC of its NIC, "" where none is. Raises: as qmp.session."""
    return asyncio.run(_ports(socket))


def tap_numbers(socket: Path, mac: str) -> tuple[int, ...]:
    """QEMU's own numbers of the descriptors behind the NIC with this MAC; () when none is on a tap. Raises: as qmp.session.

    Its command line tells those of its start alone, and numbers are given anew once their NIC has gone.
    """
    return asyncio.run(_tap_numbers(socket, mac))


def attach(socket: Path, number: int, nic: TapNic) -> None:
    """Put a NIC into a free port; nothing when it is there. Raises: MonitorGone, MonitorSilent, DriverError("no_port", "refused")."""
    vhost: list[int] = []
    with ExitStack() as closing:
        try:
            for fd in launch.vhost_nets(len(nic.fds)):
                closing.callback(os.close, fd)
                vhost.append(fd)
            asyncio.run(_attach(socket, number, nic, vhost))
        except (qmp.Refused, OSError) as error:
            raise DriverError("refused", f"QEMU did not take the NIC: {error}. Restart the instance to apply.") from None


def detach(socket: Path, number: int) -> None:
    """Take the NIC out of its port, and whatever is left of one. Raises: as qmp.session; DriverError("timeout") when the guest keeps it."""
    asyncio.run(_detach(socket, number, RELEASE_TIMEOUT))


async def _ports(socket: Path) -> dict[int, str]:
    async with qmp.session(socket, qmp.TIMEOUT) as client:
        return await _macs(client)


async def _tap_numbers(socket: Path, mac: str) -> tuple[int, ...]:
    async with qmp.session(socket, qmp.TIMEOUT) as client:
        port = next((number for number, found in (await _macs(client)).items() if found == mac.lower()), None)
        text = await client.execute("human-monitor-command", {"command-line": "info network"})
    return tuple(int(fd) for number, fd in _TAP.findall(str(text)) if int(number) == port)


async def _macs(client: QMPClient) -> dict[int, str]:
    names = await _names(client)
    numbers = sorted(int(match[1]) for name in names if (match := _PORT.fullmatch(name)))
    return {number: await _mac(client, number) if f"nic{number}" in names else "" for number in numbers}


async def _names(client: QMPClient) -> set[str]:
    rows: Any = await client.execute("qom-list", {"path": _PERIPHERAL})
    return {str(row["name"]) for row in rows}


async def _mac(client: QMPClient, number: int) -> str:
    """As it was plugged, whatever the guest made of it."""
    return str(await client.execute("qom-get", {"path": f"{_PERIPHERAL}/nic{number}", "property": "mac"}))


async def _attach(socket: Path, number: int, nic: TapNic, vhost: Sequence[int]) -> None:
    async with qmp.session(socket, qmp.TIMEOUT) as client:
        if not need_port(await _macs(client), number, nic):
            return
        await _drop_backend(client, number)  # one that a caller who died has left
        taps = await _hand_over(client, f"tap{number}", nic.fds)
        kernels = await _hand_over(client, f"vhost{number}", vhost)
        await client.execute("netdev_add", {"type": "tap", "id": f"net{number}", **_named(taps, kernels)})
        try:
            await client.execute("device_add", argv.device(number, nic))
        except ExecuteError:
            await _drop_backend(client, number)
            raise


async def _hand_over(client: QMPClient, name: str, fds: Sequence[int]) -> list[str]:
    """Names under which QEMU knows its copies; one that is left under such a name is closed by that."""
    names = [f"{name}-{place}" for place in range(len(fds))]
    for each, fd in zip(names, fds, strict=True):
        client.send_fd_scm(fd)
        await client.execute("getfd", {"fdname": each})
    return names


def _named(taps: Sequence[str], kernels: Sequence[str]) -> dict[str, object]:
    one, several = ("fd", "vhostfd") if len(taps) == 1 else ("fds", "vhostfds")
    return {one: ":".join(taps)} | ({"vhost": True, several: ":".join(kernels)} if kernels else {})


async def _detach(socket: Path, number: int, within: float) -> None:
    async with qmp.session(socket, within + qmp.TIMEOUT) as client:
        if not await _released(client, f"nic{number}", within):
            raise DriverError("timeout", KEPT)
        await _drop_backend(client, number)


async def _released(client: QMPClient, device: str, within: float) -> bool:
    with client.listener("DEVICE_DELETED") as deleted:
        try:
            await client.execute("device_del", {"id": device})
        except ExecuteError as error:
            if error.error_class == _NOT_FOUND:
                return True
            if _ON_ITS_WAY not in str(error):
                raise
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while device in await _names(client):
                    await deleted.get()
    return device not in await _names(client)


async def _drop_backend(client: QMPClient, number: int) -> None:
    """With descriptors that were handed over and are no backend's: QEMU keeps those after their connection, and the tap with them."""
    await _took("netdev_del", client, {"id": f"net{number}"})
    for kind in ("tap", "vhost"):
        place = 0
        while await _took("closefd", client, {"fdname": f"{kind}{number}-{place}"}):
            place += 1


async def _took(command: str, client: QMPClient, arguments: Mapping[str, object]) -> bool:
    """Whether there was something that the command took away."""
    try:
        await client.execute(command, dict(arguments))
    except ExecuteError as error:
        if error.error_class == _NOT_FOUND or _NO_FD in str(error):
            return False
        raise
    return True
