"""Runs pytest against a PostgreSQL of its own: `python -m tests.postgres tests/unit/services -q`.

A throw-away cluster on a unix socket, without a TCP port, as the user that Debian's package made; gone with the run.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

USER = "postgres"
PROGRAMS = Path("/usr/lib/postgresql")
# Nothing of it has to survive a crash.
SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "listen_addresses=", "max_connections=60")
SECONDS = 60


def main() -> int:
    """pytest's exit code."""
    with cluster() as url:
        command = [sys.executable, "-m", "pytest", *sys.argv[1:]]
        return subprocess.run(command, env={**os.environ, "TEST_DATABASE_URL": url}, check=False).returncode


@contextmanager
def cluster() -> Iterator[str]:
    """A running server; its URL for dj_database_url."""
    place = Path(mkdtemp(prefix="ow-pg-"))
    shutil.chown(place, USER)
    try:
        run("initdb", "-D", place / "data", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = " ".join(f"-c {setting}" for setting in (*SETTINGS, f"unix_socket_directories={place}"))
        run("pg_ctl", "-D", place / "data", "-w", "-t", str(SECONDS), "-l", place / "log", "-o", options, "start")
        try:
            yield f"postgres://{USER}@/postgres?host={place}"
        finally:
            run("pg_ctl", "-D", place / "data", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(place)


def run(program: str, *arguments: object) -> None:
    """One of PostgreSQL's programs, as its user: it refuses root."""
    newest = max(PROGRAMS.iterdir(), key=lambda path: float(path.name))
    command = [newest / "bin" / program, *map(str, arguments)]
    subprocess.run(command, user=USER, group=USER, extra_groups=[], cwd="/", stdout=subprocess.DEVNULL, timeout=SECONDS, check=True)


if __name__ == "__main__":
    sys.exit(main())
