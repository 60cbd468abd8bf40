"""A panel's directories and database of a test's own, with the real drivers, without its processes: what the reconciler alone needs."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.redis_server import running_redis

CLONE = Path(__file__).resolve().parents[2]
KERNEL = CLONE / "build" / "kernel"  # `make develop` puts it there
# Of several test processes each has uids of its own.
UID_BASE = 830_000 + 5_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


class Scratch:
    """One panel's place on this host."""

    def __init__(self, directory: Path, redis_url: str) -> None:
        self.state, self.run = directory / "s", directory / "r"
        for path in (self.run, *(self.state / name for name in ("db", "vm", "images", "base", "uploads"))):
            path.mkdir(parents=True)
        (self.state / "kernel").symlink_to(KERNEL)
        self.environment = {
            "PATH": os.environ["PATH"],  # tests.settings has filled the rest for unit tests
            "LANG": "C.UTF-8",
            "DJANGO_SETTINGS_MODULE": "opsweb.settings",
            "SECRET_KEY": "host tests only",
            "OPSWEB_STATE_DIR": str(self.state),
            "OPSWEB_RUN_DIR": str(self.run),
            "OPSWEB_UID_BASE": str(UID_BASE),
            "OPSWEB_ACCEL": "tcg",
            "REDIS_URL": redis_url,
            "PYTHONPATH": str(CLONE),
        }
        self._do([sys.executable, str(CLONE / "manage.py"), "migrate", "--verbosity", "0"], 60)

    def script(self, name: str, *words: str, seconds: float = 300) -> Any:
        """Run tests/host/scripts/<name>.py; its last line of output is JSON. Raises: AssertionError with what it said."""
        path = CLONE / "tests" / "host" / "scripts" / f"{name}.py"
        return json.loads(self._do([sys.executable, str(path), *words], seconds).strip().splitlines()[-1])

    def _do(self, argv: list[str], seconds: float) -> str:
        done = subprocess.run(argv, cwd=CLONE, env=self.environment, capture_output=True, text=True, timeout=seconds)
        assert done.returncode == 0, f"{argv[1]}: {done.stdout[-3000:]}\n{done.stderr[-6000:]}"
        return done.stdout


@contextmanager
def scratch_panel() -> Iterator[Scratch]:
    """A fresh one; its VMs are erased and its directories removed afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="ow"))
    directory.chmod(0o755)
    with running_redis() as redis:
        scratch = Scratch(directory, redis.url)
        try:
            yield scratch
        finally:
            command = [sys.executable, str(CLONE / "manage.py"), "clean_host"]
            subprocess.run(command, cwd=CLONE, env=scratch.environment, timeout=60, check=False)
            shutil.rmtree(directory, ignore_errors=True)
