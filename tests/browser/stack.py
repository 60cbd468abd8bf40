"""The whole panel on the fake host, as child processes: redis, web, worker, watcher, beat. Ended by their process ids."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError

from tests.redis_server import RedisServer

CLONE = Path(__file__).resolve().parent.parent.parent
UP_SECONDS = 150
DOWN_SECONDS = 10


@dataclass
class Stack:
    """A running panel; `url` is the only name it answers to."""

    directory: Path
    port: int
    redis: RedisServer
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    token: str = ""
    image: str = ""

    @property
    def url(self) -> str:
        """Where the panel lives."""
        return f"http://localhost:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        """Of every part."""
        return {
            **{name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "DJANGO_SETTINGS_MODULE")},
            "SECRET_KEY": "browser tests only",
            "OPSWEB_STATE_DIR": str(self.directory / "state"),
            "OPSWEB_RUN_DIR": str(self.directory / "run"),
            "OPSWEB_DRIVER": "fake",
            "OPSWEB_SWEEP_SECONDS": "2",
            "OPSWEB_PORT": str(self.port),
            "OPSWEB_URL": self.url,
            "REDIS_URL": self.redis.url,
            "PYTHONPATH": str(CLONE),
        }

    def manage(self, *argv: str, stdin: str = "") -> str:
        """Run `manage.py` and return what it prints."""
        done = subprocess.run(
            [sys.executable, "manage.py", *argv],
            cwd=CLONE,
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=UP_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def seed(self, code: str) -> str:
        """Run Python with Django set up; it reaches the same database, redis and worker."""
        return self.manage("shell", "--no-imports", stdin=code)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """A call of the REST API as ana."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/v1/{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.loads(response.read() or "null")

    def start(self, name: str) -> None:
        """Start one part."""
        with (self.directory / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(ARGV[name](self), cwd=CLONE, env=self.env, stdout=log, stderr=log)

    def end(self, name: str) -> None:
        """End one part by its id, by force if it does not go."""
        process = self.processes.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(DOWN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(DOWN_SECONDS)

    def wait_ready(self) -> None:
        """Until /healthz says that every part is ready; bounded."""
        deadline = time.monotonic() + UP_SECONDS
        while not self._is_ready():
            for name, process in self.processes.items():
                assert process.poll() is None, f"{name} has ended:\n{self.log(name)}"
            assert time.monotonic() < deadline, "\n".join(f"{name}:\n{self.log(name)}" for name in self.processes)
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as response:
                return bool(json.load(response)["ready"])
        except (URLError, OSError):
            return False

    def log(self, name: str) -> str:
        """The end of a part's output."""
        return (self.directory / f"{name}.log").read_text(errors="replace")[-4000:]


def _python(*argv: str) -> list[str]:
    return [sys.executable, *argv]


ARGV = {
    "web": lambda stack: _python(
        *("-m", "uvicorn", "opsweb.asgi:application", "--host", "127.0.0.1", "--port", str(stack.port), "--lifespan", "off"),
        *("--ws", "websockets-sansio", "--ws-per-message-deflate", "false", "--ws-max-size", "1048576", "--timeout-graceful-shutdown", "1"),
    ),
    "worker": lambda stack: _python(
        *("-m", "celery", "-A", "opsweb.celery", "worker", "-Q", "host.local", "--concurrency", "2", "--loglevel", "INFO"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ),
    "watcher": lambda stack: _python("manage.py", "watch_host", "local"),
    "beat": lambda stack: _python(
        "-m", "celery", "-A", "opsweb.celery", "beat", "-s", str(stack.directory / "run" / "beat"), "--pidfile", ""
    ),
}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_stack() -> Iterator[Stack]:
    """A panel with an empty database, a first admin and the demo team; gone afterwards, whatever happens."""
    directory = Path(tempfile.mkdtemp(prefix="ow-web-"))
    for name in ("state/db", "state/uploads", "state/images", "state/base", "state/vm", "state/kernel", "state/log", "run/vm", "redis"):
        (directory / name).mkdir(parents=True)
    stack = Stack(directory, _free_port(), RedisServer(directory / "redis"))
    try:
        stack.redis.start()
        stack.manage("migrate", "--verbosity", "0")
        stack.manage("ensure_first_start")
        for name in ARGV:
            stack.start(name)
        stack.wait_ready()
        yield stack
    finally:
        for name in reversed(ARGV):
            stack.end(name)
        stack.redis.kill()
        shutil.rmtree(directory, ignore_errors=True)
