"""A whole panel as `make up` makes it, in directories and on ports of a test's own: every part real."""

import fcntl
import http.client
import os
import shutil
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.host.scratch import CLONE, KERNEL

PORT = 18_600
PARTS = ("redis", "web", "worker", "watcher", "beat")


class RealPanel:
    """What a person with a shell on the host can do."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.home = directory, directory / "home"
        self.home.mkdir()
        self.said = ""  # by the first `make up`
        self.evidence = Path(os.environ.get("OPSWEB_TEST_OUTPUT", CLONE / "test-output"))
        self.evidence.mkdir(parents=True, exist_ok=True)
        self.environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "OPSWEB_STATE_DIR": str(directory / "s"),
            "OPSWEB_RUN_DIR": str(directory / "r"),
            "OPSWEB_PORT": str(PORT),
            "OPSWEB_UID_BASE": "850000",
            "OPSWEB_ACCEL": "tcg",
            "OPSWEB_KERNEL": str(next((KERNEL / "boot").glob("vmlinuz-*"))),
        }

    def make(self, target: str, seconds: float = 180, **more: str) -> str:
        """Run a target of the Makefile. Raises: AssertionError with what it said."""
        command = ["make", "--no-print-directory", target]
        done = subprocess.run(command, cwd=CLONE, env={**self.environment, **more}, capture_output=True, text=True, timeout=seconds)
        assert done.returncode == 0, f"make {target}: {done.stdout[-4000:]}\n{done.stderr[-4000:]}\n{self.logs()}"
        return done.stdout

    def cli(self, *words: str, cwd: Path | None = None, seconds: float = 60, code: int = 0) -> subprocess.CompletedProcess[str]:
        """The `opsweb` command, signed in by `make up`; its exit code is checked."""
        command = [str(CLONE / ".venv/bin/opsweb"), *words]
        done = subprocess.run(command, cwd=cwd or self.home, env=self.environment, capture_output=True, text=True, timeout=seconds)
        assert done.returncode == code, f"opsweb {words}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done

    def pid(self, part: str) -> int:
        """The process id of a part, 0 while it has none."""
        done = subprocess.run(["make", "--no-print-directory", "status"], cwd=CLONE, env=self.environment, capture_output=True, text=True)
        words = next((line.split() for line in done.stdout.splitlines() if line.startswith(part)), [])
        return int(words[words.index("pid") + 1]) if "pid" in words else 0

    def is_ready(self, since: int = 0) -> bool:
        """Whether every part says so, worker and watcher since then (epoch seconds)."""
        try:
            return httpx.get(f"http://127.0.0.1:{PORT}/healthz?since={since}", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def api(self) -> httpx.Client:
        """The REST API, with the token that `make up` wrote."""
        token = tomllib.loads((self.home / ".config/opsweb/cli.toml").read_text())["token"]
        return httpx.Client(base_url=f"http://127.0.0.1:{PORT}/api/v1/", headers={"Authorization": f"Bearer {token}"}, timeout=90)

    def logs(self) -> str:
        """The end of every part's log: evidence for a failure."""
        files = sorted((self.directory / "s" / "log").glob("*.log"))
        return "\n".join(f"== {file.name}\n{file.read_text(errors='replace')[-2500:]}" for file in files)


def get(url: str, seconds: float = 30) -> str:
    """The page, as soon as it is there; bounded. A guest that boots refuses or resets connections for a while."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return httpx.get(url, timeout=5).raise_for_status().text
        except httpx.HTTPError:
            assert time.monotonic() < deadline, f"{url} did not answer within {seconds} s"
            time.sleep(0.1)


def wait_until(is_so: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    """What `is_so` answers once it is true; bounded."""
    deadline = time.monotonic() + seconds
    while not (answer := is_so()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)
    return answer


def answers(port: int) -> bool:
    """Whether an HTTP server answers there now."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextmanager
def real_panel() -> Iterator[RealPanel]:
    """An up panel; taken down and away afterwards. One at a time: name its file in WHOLE_PANELS of conftest.py."""
    with CLONE.joinpath("Makefile").open() as alone:
        fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield from _up_panel()


def _up_panel() -> Iterator[RealPanel]:
    directory = Path(tempfile.mkdtemp(prefix="owp"))
    directory.chmod(0o755)
    panel = RealPanel(directory)
    try:
        yield panel
    finally:
        if (directory / "s").exists():
            subprocess.run(["make", "down"], cwd=CLONE, env=panel.environment, timeout=180, capture_output=True, check=False)
        save_evidence(panel)
        shutil.rmtree(directory, ignore_errors=True)


def save_evidence(panel: RealPanel) -> None:
    """Keep the logs where CI or a person finds them."""
    (panel.evidence / "host-panel.log").write_text(panel.logs())
