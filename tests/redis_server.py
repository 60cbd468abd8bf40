"""A redis-server of a test's own, on a unix socket in a short temporary directory; ended by its process id."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis, RedisError


class RedisServer:
    """Can be stopped and started again with its data, to show what an outage does."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.socket = directory, directory / "redis.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """In redis-py's spelling."""
        return f"unix://{self.socket}?db=0"

    def start(self) -> None:
        """Returns once it answers; bounded."""
        options = ("--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.directory), "--appendonly", "yes", "--save", "")
        self.process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            try:
                with Redis.from_url(self.url) as client:
                    client.ping()
                return
            except RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def kill(self) -> None:
        """kill -9, as an outage does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None


@contextmanager
def running_redis() -> Iterator[RedisServer]:
    """A started server; gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="ow-redis-"))
    server = RedisServer(directory)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)
