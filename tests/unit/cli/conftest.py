"""A fake panel that speaks real HTTP and websockets on loopback, and the command to try on it, in this process or in one of its own."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from opsweb.cli.main import main
from tests.unit.cli.called import CLONE, ELF, Done
from tests.unit.cli.fake_http import FakePanel
from tests.unit.cli.fake_state import TOKEN, State


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def panel(state: State) -> Iterator[FakePanel]:
    server = FakePanel(state)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def signed_in(panel: FakePanel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakePanel:
    """The environment of a person who may use the panel, in an empty directory that is also their home."""
    monkeypatch.setenv("OPSWEB_URL", panel.url)
    monkeypatch.setenv("OPSWEB_TOKEN", TOKEN)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return panel


@pytest.fixture
def opsweb(signed_in: FakePanel, capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Done]:
    """Call the command in this process."""

    def call(*argv: object) -> Done:
        capfdbinary.readouterr()
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
        try:
            code = main([str(word) for word in argv])
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        sys.stdout.flush()
        sys.stderr.flush()
        out, err = capfdbinary.readouterr()
        return Done(code, out, err.decode())

    return call


@pytest.fixture
def spawn(signed_in: FakePanel) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the command as a process of its own, for signals and terminals; ended with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*argv: object, **options: Any) -> subprocess.Popen[bytes]:
        environ = {**os.environ, "PYTHONPATH": str(CLONE)}
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        # Under nohup(1) a child inherits that SIGHUP is ignored, and the command respects it.
        command = ["env", "--default-signal=HUP", sys.executable, "-m", "opsweb.cli", *map(str, argv)]
        started.append(subprocess.Popen(command, env=environ, **streams))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()


@pytest.fixture
def elf(tmp_path: Path) -> Path:
    """A program called g."""
    path = tmp_path / "g"
    path.write_bytes(ELF)
    path.chmod(0o755)
    return path
