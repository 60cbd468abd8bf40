"""Guests on networks of a real panel, seen from outside: consoles, packets lost, and all that the panel has put on the host."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.host.panel import RealPanel, wait_until

PATIENCE = 20.0  # seconds within which the panel mends whatever a stranger did
FORWARDING = ("ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv6/conf/outside0/accept_ra")
SEQUENCE = re.compile(rb"seq=(\d+) ")


class Town:
    """A panel with its host."""

    def __init__(self, panel: RealPanel) -> None:
        self.panel = panel
        self.before: dict[str, Any] = {}  # the host as it was found

    def instance(self, name: str) -> Any:
        """The instance as `--json` has it."""
        return json.loads(self.panel.cli("instance", "show", name, "--json").stdout)

    def network(self, name: str) -> Any:
        """The network as the REST API has it."""
        with self.panel.api() as api:
            (found,) = [item for item in api.get("networks/").raise_for_status().json()["items"] if item["name"] == name]
            return api.get(f"networks/{found['id']}/").raise_for_status().json()

    def console(self, name: str) -> "Console":
        """Its console, from now on."""
        return Console(self.panel.directory / "s" / "vm" / str(self.instance(name)["id"]) / "console.log")

    def qemus(self) -> dict[str, int]:
        """Process ids by instance id."""
        ours = {words[words.index("-uuid") + 1]: pid for pid, words in self._processes() if "-uuid" in words}
        assert ours
        return ours

    def dnsmasqs(self) -> list[int]:
        """Process ids."""
        return [pid for pid, words in self._processes() if "dnsmasq" in words[0]]

    def bridge(self, gateway: str) -> str:
        """The link that has this address."""
        return next(row["ifname"] for row in ip_json("addr") if gateway in [each.get("local") for each in row["addr_info"]])

    def taps(self, bridge: str) -> list[str]:
        """Its ports."""
        return [row["ifname"] for row in ip_json("link") if row.get("master") == bridge]

    def snapshot(self) -> dict[str, Any]:
        """All that a network or an instance may leave behind, without counters, times and what the parts themselves write."""
        state, run = self.panel.directory / "s", self.panel.directory / "r"
        roots = (state / "vm", state / "images", state / "uploads", run)
        own = {"locks", "redis", "beat", "log"}
        files = sorted(str(path) for root in roots for path in root.rglob("*") if path.is_file() and not own & set(path.parts))
        return {
            "links": sorted(row["ifname"] for row in ip_json("link")),
            "addresses": [said("ip", *family, "-o", "addr") for family in (("-4",), ("-6",))],
            "routes": [said("ip", family, "route", "show", "table", "all") for family in ("-4", "-6")],
            "nft": said("nft", "--stateless", "list", "ruleset"),
            "forwarding": {name: Path(f"/proc/sys/net/{name}").read_text() for name in FORWARDING},
            "processes": sorted(" ".join(words) for _, words in self._processes() if "dnsmasq" in words[0] or "qemu" in words[0]),
            "files": files,
        }

    def lose_power(self) -> None:
        """As a reboot of the host has it: no process, link, rule or run directory is left, the switches are new, and so is the boot."""
        supervisor = f"SUPERVISOR_SERVER_URL=unix://{self.panel.directory}/r/supervisor.sock".encode()
        doomed = {pid for pid, _ in self._processes()} | {pid for pid, _ in processes() if supervisor in _environ(pid)}
        for number in (signal.SIGSTOP, signal.SIGKILL):  # all at once: none sees another's end
            for pid in doomed:
                os.kill(pid, number)
        wait_until(lambda: not [pid for pid in doomed if _is_alive(pid)], "all are killed")
        for row in ip_json("link"):
            if row["ifname"] not in self.before["links"] and any(row["ifname"] == each["ifname"] for each in ip_json("link")):
                subprocess.run(["ip", "link", "del", row["ifname"]], check=True, timeout=10)
        subprocess.run(["nft", "flush", "ruleset"], check=True, timeout=10)
        for name, value in self.before["forwarding"].items():
            Path(f"/proc/sys/net/{name}").write_text(value)
        shutil.rmtree(self.panel.directory / "r")
        with sqlite3.connect(next((self.panel.directory / "s" / "db").glob("*.sqlite3")), timeout=10) as rows:
            rows.execute("UPDATE core_host SET boot_id = 'the boot before'")

    def _processes(self) -> list[tuple[int, list[str]]]:
        return [(pid, words) for pid, words in processes() if str(self.panel.directory) in " ".join(words)]


class Console:
    """What a guest has printed since."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self.start = log.stat().st_size

    def text(self) -> bytes:
        """Whole lines."""
        return self._log.read_bytes()[self.start :].rpartition(b"\n")[0]

    def lines(self) -> list[str]:
        """The same, decoded."""
        return self.text().decode(errors="replace").splitlines()

    def lost_pings(self) -> tuple[list[int], int]:
        """Of a guest that pings: sequence numbers without an answer between the first and the last one answered; how many were."""
        seen = {int(number) for number in SEQUENCE.findall(self.text())}
        return sorted(set(range(min(seen, default=0), max(seen, default=-1) + 1)) - seen), len(seen)

    def answered(self, targets: dict[str, str]) -> bool:
        """Of a chatter: whether it has heard each target's answer."""
        return {f"{target}: {answer}" for target, answer in targets.items()} <= set(self.lines())


@contextmanager
def following(panel: RealPanel, place: Path, log: Path, *words: str) -> Iterator[Path]:
    """`opsweb …` as a person runs it, its output in a file; Ctrl-C at the end."""
    command = [str(Path(".venv/bin/opsweb").absolute()), *words]
    with log.open("wb") as output:
        child = subprocess.Popen(command, cwd=place, env=panel.environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield log
    finally:
        child.send_signal(signal.SIGINT)
        child.wait(60)


def said(*words: str) -> str:
    """What a command prints."""
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=20).stdout


def ip_json(what: str) -> Any:
    """Links or addresses of this namespace."""
    return json.loads(said("ip", "-j", what))


def processes() -> list[tuple[int, list[str]]]:
    """All of this machine that run, with their command lines."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
        except OSError:
            continue
        if words:
            found.append((int(entry.name), words))
    return found


def _environ(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
