"""From `make up` to a program in a VM, every part real: what the README promises, tried as a stranger would.

The tests share one panel and run in order: bringing it up is the first of them.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.outside import PAGE, WORLD, the_outside
from tests.host.panel import PARTS, PORT, RealPanel, answers, get, real_panel, wait_until
from tests.namespaces import in_own_namespace

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]
SERVER = ("-a", "httpd", "-a", "-f", "-a", "-vv", "-a", "-p", "-a", "8080", "-a", "-h", "-a", "/")


@pytest.fixture(scope="module")
def panel() -> Iterator[RealPanel]:
    """Up from nothing."""
    in_own_namespace()
    with real_panel() as panel:
        panel.make("up")
        yield panel


@pytest.fixture(scope="module")
def web1(panel: RealPanel) -> str:
    """A web server, any web server, left running."""
    panel.cli("run", "-d", "-i", "web1", "-p", "18081:8080", *SERVER, "/bin/busybox")
    panel.cli("instance", "wait", "web1", "--port", "8080")
    return "web1"


def show(panel: RealPanel, name: str) -> dict[str, object]:
    """The instance as `--json` has it."""
    shown: dict[str, object] = json.loads(panel.cli("instance", "show", name, "--json").stdout)
    return shown


def qemu_of(panel: RealPanel, name: str) -> int:
    """The process id of its QEMU."""
    marker = str(show(panel, name)["id"])
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and marker.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
            return int(entry.name)
    raise AssertionError(f"no QEMU carries {marker}")


def test_the_first_start_leads_to_a_page_served_by_a_guest(panel: RealPanel) -> None:
    assert "Hello from a VM" in get("http://127.0.0.1:8088/")


def test_make_up_again_changes_nothing(panel: RealPanel) -> None:
    before = qemu_of(panel, "hello")
    said = panel.make("up")
    assert f"http://localhost:{PORT}" in said
    assert qemu_of(panel, "hello") == before


def test_a_browser_under_another_name_is_sent_to_the_panels_own(panel: RealPanel) -> None:
    import httpx

    answer = httpx.get(f"http://127.0.0.1:{PORT}/instances/?state=running")
    assert (answer.status_code, answer.headers["location"]) == (302, f"http://localhost:{PORT}/instances/?state=running")


def test_the_documents_server_and_client_meet(panel: RealPanel, document: Path) -> None:
    server = subprocess.Popen(
        [str(Path(".venv/bin/opsweb").absolute()), "run", "-p", "8080", "g"],
        cwd=document / "g",
        env=panel.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert get("http://127.0.0.1:8080/", 60) == "Welcome to my website!"
        said = panel.cli("run", "-c", "config.json", "z", cwd=document / "z", seconds=90).stdout
        assert "Welcome to my website!" in said
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)
    names = [item["name"] for item in json.loads(panel.cli("instance", "list", "--json").stdout)["items"]]
    assert not [name for name in names if name.startswith(("g", "z"))], "Ctrl-C and the end of a program remove what `run` made"


def test_a_guest_gets_out_by_address_and_by_name(panel: RealPanel, document: Path, tmp_path: Path) -> None:
    """The document's client again, this time without an etc/hosts: the host's name server knows bob."""
    shutil.copy(document / "z" / "z", tmp_path)
    with the_outside("bob"):
        said = panel.cli("run", "z", cwd=tmp_path, seconds=90).stdout
        assert PAGE in said
        script = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {WORLD} 8080"
        assert PAGE in panel.cli("run", "-a", "sh", "-a", "-c", "-a", script, "/bin/busybox").stdout


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -11 $$", 139)])
def test_run_ends_with_the_programs_code(panel: RealPanel, script: str, code: int) -> None:
    done = panel.cli("run", "-a", "sh", "-a", "-c", "-a", f"echo said; {script}", "/bin/busybox", code=code)
    assert "said" in done.stdout


def test_a_flooding_console_has_each_line_once(panel: RealPanel) -> None:
    """Somebody watches and types meanwhile; nothing is lost, nothing comes twice, for the viewer and in the log alike."""
    lines = 20_000
    script = f"i=0; while [ $i -lt {lines} ]; do echo line $i; i=$((i+1)); done"
    said = panel.cli("run", "-a", "sh", "-a", "-c", "-a", script, "/bin/busybox", seconds=120).stdout
    assert said.splitlines() == [f"line {number}" for number in range(lines)]


def test_a_guest_reaches_its_own_teams_port_and_nothing_else_of_the_host(panel: RealPanel, web1: str) -> None:
    """INV-09: the host's loopback is not the guest's."""
    with socket.create_server(("127.0.0.1", 18_777)) as foreign:
        script = "for p in 18081 18777; do nc -w 3 10.0.2.2 $p </dev/null >/dev/null && echo $p open || echo $p closed; done"
        said = panel.cli("run", "-a", "sh", "-a", "-c", "-a", script, "/bin/busybox").stdout
        foreign.setblocking(False)
        with pytest.raises(BlockingIOError):
            foreign.accept()
    assert "18081 open" in said
    assert "18777 closed" in said
    assert f"{PORT} open" not in said


def test_a_port_under_1024_and_a_udp_port(panel: RealPanel) -> None:
    panel.cli("run", "-d", "-i", "low", "-p", "80:8080", "--udp", "18053:5353", *SERVER, "/bin/busybox")
    assert get("http://127.0.0.1:80/bin/") != "" if answers(80) else wait_until(lambda: answers(80), "port 80 answers")
    panel.cli("instance", "delete", "low")


def test_a_port_that_is_taken_is_named_before_anything_starts(panel: RealPanel, web1: str) -> None:
    refused = panel.cli("run", "-d", "-i", "second", "-p", "18081:8080", "/bin/busybox", code=1)
    assert "18081" in refused.stderr
    assert "web1" in refused.stderr
    with socket.create_server(("127.0.0.1", 18_778)):
        refused = panel.cli("run", "-d", "-i", "third", "-p", "18778:8080", "/bin/busybox", code=1)
    assert "18778" in refused.stderr


def test_restarting_the_panel_touches_no_vm(panel: RealPanel, web1: str) -> None:
    """INV-01."""
    before = qemu_of(panel, web1)
    panel.make("restart")
    assert answers(18_081)
    assert qemu_of(panel, web1) == before


@pytest.mark.parametrize("part", PARTS)
def test_a_killed_part_comes_back_and_no_guest_notices(panel: RealPanel, web1: str, part: str) -> None:
    """INV-01: web1 answers throughout, its console has no gap, everything is ready again by itself."""
    qemu, old = qemu_of(panel, web1), panel.pid(part)
    failures: list[float] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            if not answers(18_081):
                failures.append(time.monotonic())
            ended.wait(0.2)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        killed_at = int(time.time()) if part in ("worker", "watcher") else 0  # the others' heartbeats need not be new
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: panel.pid(part) not in (0, old), f"{part} runs again")
        wait_until(lambda: panel.is_ready(killed_at), "every part is ready", 60)
    finally:
        ended.set()
        asking.join()
    assert failures == []
    assert qemu_of(panel, web1) == qemu


def test_the_console_has_every_byte_after_all_that(panel: RealPanel, web1: str) -> None:
    log = panel.directory / "s" / "vm" / str(show(panel, web1)["id"]) / "console.log"
    wait_until(lambda: panel.cli("instance", "logs", web1).stdout == log.read_text(), "logs are what QEMU wrote")


def test_stop_and_start_again(panel: RealPanel, web1: str) -> None:
    panel.cli("instance", "stop", web1)
    panel.cli("instance", "wait", web1, "--state", "ended")
    assert not answers(18_081)
    assert show(panel, web1)["state"] == "stopped"
    panel.cli("instance", "start", web1)
    panel.cli("instance", "wait", web1, "--port", "8080")
    assert answers(18_081)


def test_a_killed_qemu_is_a_crash(panel: RealPanel, web1: str) -> None:
    os.kill(qemu_of(panel, web1), signal.SIGKILL)
    wait_until(lambda: show(panel, web1)["state"] == "crashed", "it is seen as crashed", 20)
    panel.cli("instance", "start", web1)
    panel.cli("instance", "wait", web1, "--port", "8080")


def test_down_keeps_the_wish_and_up_brings_it_back(panel: RealPanel, web1: str) -> None:
    panel.make("down")
    assert not answers(18_081)
    assert not [entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and _is_our_qemu(entry, panel)]
    panel.make("up")
    get("http://127.0.0.1:8088/", 60)
    wait_until(lambda: answers(18_081), "web1 is back", 60)


def _is_our_qemu(entry: Path, panel: RealPanel) -> bool:
    try:
        words = (entry / "cmdline").read_bytes()
    except OSError:
        return False
    return b"qemu-system" in words and str(panel.directory).encode() in words


def test_clean_host_leaves_nothing(panel: RealPanel, web1: str) -> None:
    """INV-22, of one panel of possibly several: its user stays, others may use it."""
    panel.make("clean-host", CONFIRM="yes")
    assert not (panel.directory / "s").exists()
    assert not (panel.directory / "r").exists()
    rules = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert rules == ""
