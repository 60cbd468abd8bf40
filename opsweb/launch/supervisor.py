"""Starts, asks and ends one panel's supervisord over its unix socket. Called by opsweb.launch.commands."""

import http.client
import os
import select
import signal
import socket
import subprocess
import time
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opsweb.launch.errors import LaunchError
from opsweb.launch.panel import Panel
from opsweb.launch.parts import Part

STOP_SECONDS = 60  # the longest `stop_seconds` of a part and the others' after it


@dataclass(frozen=True)
class Running:
    """One part as supervisor sees it; `state` is supervisor's word, e.g. RUNNING, BACKOFF."""

    name: str
    state: str
    pid: int
    seconds: int  # since its start
    message: str  # what supervisor says when it does not run


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(self._path)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = str(path)

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _UnixConnection(self._path)


def conf_path(panel: Panel) -> Path:
    """Where this panel's supervisord.conf lies."""
    return panel.run / "supervisord.conf"


def _socket(panel: Panel) -> Path:
    return panel.run / "supervisor.sock"


def _server(panel: Panel) -> Any:
    return xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(_socket(panel))).supervisor


def running(panel: Panel) -> list[Running] | None:
    """The parts, in their order of start; None when this panel's supervisord is not there."""
    try:
        found: list[dict[str, Any]] = _server(panel).getAllProcessInfo()
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return None
    return [
        Running(
            name=row["name"],
            state=row["statename"],
            pid=row["pid"],
            seconds=max(0, row["now"] - row["start"]) if row["statename"] == "RUNNING" else 0,
            message=row["spawnerr"],
        )
        for row in found
    ]


def start(panel: Panel, python: Path, environment: Mapping[str, str]) -> None:
    """Run supervisord in the background; it returns once its socket is there. Raises: LaunchError."""
    argv = [str(python), "-m", "supervisor.supervisord", "-c", str(conf_path(panel))]
    done = subprocess.run(argv, cwd="/", env=dict(environment), text=True, stdin=subprocess.DEVNULL, capture_output=True, umask=0o027)
    if done.returncode != 0:
        raise LaunchError("supervisor", f"supervisord did not start:\n{(done.stdout + done.stderr)[-2000:]}")


def stop(panel: Panel) -> bool:
    """End supervisord and the parts, each in its own bounded time; False when it was not running. Raises: LaunchError."""
    pid = _pid(panel)
    if pid is None:
        return False
    try:
        _server(panel).shutdown()
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        os.kill(pid, signal.SIGTERM)  # its socket is gone; the signal means the same
    if not _wait_gone(pid, STOP_SECONDS):
        raise LaunchError("supervisor", f"supervisord (pid {pid}) did not end within {STOP_SECONDS} s; its log is in {panel.log}.")
    return True


def _pid(panel: Panel) -> int | None:
    """From the pidfile, and only if that process reads our configuration file."""
    try:
        pid = int((panel.run / "supervisord.pid").read_text())
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if str(conf_path(panel)).encode() in argv else None


def _wait_gone(pid: int, seconds: float) -> bool:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    finally:
        os.close(fd)


def forgotten(panel: Panel, shown: tuple[Part, ...]) -> list[int]:
    """Parts of this panel that outlived a killed supervisord: our command line to the last word, under our supervisor's socket."""
    wanted = {tuple(part.argv) for part in shown}
    mark = f"SUPERVISOR_SERVER_URL=unix://{_socket(panel)}".encode()
    return [pid for pid in _pids() if _argv(pid) in wanted and mark in _environ(pid)]


def end(pids: list[int], seconds: float = 10) -> None:
    """SIGTERM, and SIGKILL for those that do not end in time."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + seconds
        pids = [pid for pid in pids if not _wait_gone(pid, max(0.0, deadline - time.monotonic()))]


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _argv(pid: int) -> tuple[str, ...]:
    try:
        return tuple(Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1])
    except OSError:
        return ()


def _environ(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
