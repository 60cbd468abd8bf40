"""The scratch panel that is measured, and what the rows ask of it: an image, instances, records of what runs, CPU time of its parts."""

import asyncio
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from tests.host.panel import PARTS, PORT, RealPanel, real_panel, wait_until
from tests.host.scratch import CLONE

BUSYBOX = Path("/bin/busybox")
IMAGE = "bench"
TICKS = os.sysconf("SC_CLK_TCK")


class BenchPanel:
    """An up panel with one image (busybox) and a team whose quota is out of the way."""

    def __init__(self, panel: RealPanel) -> None:
        self.panel, self.api = panel, panel.api()
        self.run, self.state = Path(panel.environment["OPSWEB_RUN_DIR"]), panel.directory / "s"
        self.authorization = {"Authorization": self.api.headers["Authorization"]}
        self.sockets = f"ws://127.0.0.1:{PORT}/ws/"
        self.address = str(self.api.base_url)
        self.kernel = Path(panel.environment["OPSWEB_KERNEL"])

    def prepare(self) -> None:
        """A quota for many instances, an image, and nothing else running."""
        self.write("UPDATE teams_team SET quota_instances = 1000, quota_vcpus = 1000, quota_memory_mib = 1000000")
        for instance in self.get("instances/")["items"]:
            if "force-off" in instance["verbs"]:
                self.act(instance["id"], "force-off")
        self._build(BUSYBOX)

    def get(self, path: str, **query: Any) -> Any:
        return self.api.get(path, params=query).raise_for_status().json()

    def create(self, name: str, *args: str, **more: Any) -> dict[str, Any]:
        """Ask for an instance with `args`; returns it as accepted, with its operation."""
        body = {"name": name, "image": IMAGE, "memory_mib": 128, "args": args, **more}
        answer = self.api.post("instances/", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def finish(self, operation: dict[str, Any] | None) -> dict[str, Any]:
        """The operation once it has ended well."""
        assert operation is not None
        done = wait_until(lambda: self._ended(operation["id"]), f"{operation['verb']} {operation['target_label']}", 90)
        assert done["status"] == "succeeded", done
        return done

    def started(self, instance_id: str, what: str) -> dict[str, Any]:
        """The instance once `what` ("running", "port:8080") is so."""
        found = self.get(f"instances/{instance_id}/", wait_for=what, timeout=60)
        assert found["waited_for"], found
        return found

    def act(self, instance_id: str, verb: str) -> None:
        """Do it, to the end."""
        answer = self.api.post(f"instances/{instance_id}/actions/", json={"verb": verb}).raise_for_status().json()
        self.finish(answer["operation"])

    def delete(self, instance_id: str) -> None:
        """Remove it, to the end."""
        self.finish(self.api.delete(f"instances/{instance_id}/").raise_for_status().json()["operation"])

    def record(self, instance_id: str) -> dict[str, Any]:
        """What the driver wrote down of its last start."""
        return json.loads((self.run / "vm" / instance_id / "vm.json").read_text())

    def read(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of the panel's database, without a request that would cost the panel something."""
        return self._reader.execute(query, values).fetchall()

    @cached_property
    def _reader(self) -> sqlite3.Connection:
        """Kept: to open one costs more than most of what is read."""
        return self._database()

    def write(self, statement: str) -> None:
        """Change the scratch database."""
        with closing(self._database()) as database:
            database.execute(statement)
            database.commit()

    def pid(self, part: str) -> int:
        """The process id of a part."""
        return self.panel.pid(part)

    def cpu_seconds(self) -> float:
        """User and system time that all parts and their children have used until now (proc(5))."""
        return sum(_cpu_of(pid) for part in PARTS for pid in _family(self.pid(part)))

    def script(self, name: str, *words: str, **environment: str) -> Any:
        """Run tests/bench/scripts/<name>.py inside the panel's own settings; its last line of output is JSON."""
        return run_script(name, *words, **{**self.panel.environment, **environment})

    def _database(self) -> sqlite3.Connection:
        return sqlite3.connect(self.state / "db" / "db.sqlite3", timeout=20)

    def _build(self, program: Path) -> None:
        data = program.read_bytes()
        upload = self.api.post("uploads/", json={"filename": program.name, "size": len(data)}).raise_for_status().json()
        sent = self.api.put(f"uploads/{upload['id']}/", content=data, headers={"Upload-Offset": "0"})
        sent.raise_for_status()
        answer = self.api.post("images/", json={"name": IMAGE, "program": upload["id"], "program_name": program.name})
        self.finish(answer.raise_for_status().json()["operation"])

    def _ended(self, operation_id: str) -> dict[str, Any] | None:
        found = self.get(f"operations/{operation_id}/", wait=25)
        return found if found["finished_at"] else None


@contextmanager
def bench_panel() -> Iterator[BenchPanel]:
    """`make up` in directories of its own, taken down and away afterwards; the run directory in memory, as /run is."""
    with TemporaryDirectory(prefix="owb", dir="/dev/shm") as run, real_panel() as panel:  # noqa: S108 - for its file system alone
        Path(run).chmod(0o755)
        panel.environment["OPSWEB_RUN_DIR"] = run
        panel.make("up")
        bench = BenchPanel(panel)
        bench.prepare()
        yield bench


def fake_settings(place: Path) -> dict[str, str]:
    """The settings of a panel on the fake host in `place`, which none of its parts runs: what a script needs to ask Django itself."""
    state = place / "s"
    for name in ("db", "vm", "images", "base", "uploads"):
        (state / name).mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "SECRET_KEY": "bench only",
        "OPSWEB_DRIVER": "fake",
        "OPSWEB_STATE_DIR": str(state),
        "OPSWEB_RUN_DIR": str(place / "r"),
    }


def run_script(name: str, *words: str, **environment: str) -> Any:
    """Run tests/bench/scripts/<name>.py with these settings; its last line of output is JSON. Raises: AssertionError with what it said."""
    command = [sys.executable, str(CLONE / "tests" / "bench" / "scripts" / f"{name}.py"), *words]
    settings = {"DJANGO_SETTINGS_MODULE": "opsweb.settings", "PYTHONPATH": str(CLONE), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=CLONE, env={**environment, **settings}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{name}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return json.loads(done.stdout.strip().splitlines()[-1])


def first_answer(port: int, *, seconds: float = 60) -> float:
    """When a GET of the port was first answered, on time.monotonic()'s clock. Both sides of a comparison are asked like this.

    A user-mode network accepts before its guest does and lets the connection hang: so each try is short.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.2) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            if connection.recv(4096).startswith(b"HTTP/"):
                return time.monotonic()
        time.sleep(0.02)
    raise AssertionError(f"nothing answered on port {port} within {seconds} s")


async def all_at_once(bench: BenchPanel, bodies: list[dict[str, Any]]) -> list[str]:
    """Ask for these instances together, a connection each; returns their ids."""
    limits = httpx.Limits(max_connections=len(bodies))
    async with httpx.AsyncClient(base_url=bench.address, headers=bench.authorization, timeout=60, limits=limits) as client:
        answers = await asyncio.gather(*(client.post("instances/", json=body) for body in bodies))
    return [answer.raise_for_status().json()["instance"]["id"] for answer in answers]


def resident_mib(pid: int) -> float:
    """Memory that a process has in RAM (proc(5) VmRSS)."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)) if not _is_qemu(int(child)))]


def _is_qemu(pid: int) -> bool:
    return b"qemu-system" in Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0]


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
