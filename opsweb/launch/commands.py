"""The commands that change the panel: up, restart, down, clean-host, develop. Called by `python3 -m opsweb.launch`."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from opsweb.launch import accounts, client, health, host, kernel, manage, packages, supervisor, vendor, venv
from opsweb.launch.errors import LaunchError
from opsweb.launch.panel import Panel, recall, run_dir_of
from opsweb.launch.placing import Placed
from opsweb.launch.running import Launch, is_current, last_placed, launch_of, need_state, place, prepare, start, stop_parts
from opsweb.launch.say import say, step

READY_SECONDS = 120  # a first start probes the accelerator by booting a guest
STOP_VMS_SECONDS = 120


def up(panel: Panel, environ: Mapping[str, str]) -> int:
    """Install what is missing, migrate, start, wait until everything is ready, say where it is."""
    with step("packages"):
        packages.ensure(packages.needed(panel.driver, own_redis=panel.own_redis))
    if panel.driver == "real":
        host.check_qemu()
    launch = Launch(panel, environ, accounts.ensure() if os.geteuid() == 0 else None)
    is_new = not panel.remembered.exists()
    prepare(launch)
    placed, mark = place(launch)
    since = 0
    if not is_current(launch, placed, mark):
        since = int(time.time())
        _check_new_port(panel)
        stop_parts(launch, placed)
        _check_port_free(panel)
        with step("database"):
            manage.run(panel, placed, launch.account, "migrate", "--no-input", "--verbosity", "0")
        first = _first_start(launch, placed, is_new=is_new)
        start(launch, placed, mark)
    else:
        first = _first_start(launch, placed, is_new=is_new)
    _hand_token(launch, first)
    _wait_ready(panel, since)
    _greet(launch, first)
    return 0


def restart(panel: Panel, environ: Mapping[str, str]) -> int:
    """End and start the panel's parts, with the settings as they are now; no VM is touched."""
    launch = launch_of(panel, environ)
    need_state(panel)
    prepare(launch)
    placed, mark = place(launch)
    _check_new_port(panel)
    with step("stop the parts"):
        stop_parts(launch, placed)
    manage.run(panel, placed, launch.account, "migrate", "--no-input", "--verbosity", "0")
    since = int(time.time())
    start(launch, placed, mark)
    _wait_ready(panel, since)
    say(f"opsweb is ready again: {panel.url}")
    return 0


def down(panel: Panel, environ: Mapping[str, str]) -> int:
    """Ask every VM to end, force those that don't, end the panel; what ran comes back with `make up`."""
    launch = launch_of(panel, environ)
    if supervisor.running(panel) is None:
        say("not running" if not stop_parts(launch, last_placed(launch)) else "ended what a killed supervisord had left")
        return 0
    placed = last_placed(launch)
    with step("stop the VMs"):
        said = manage.run(panel, placed, launch.account, "stop_all", "--timeout", str(STOP_VMS_SECONDS), seconds=STOP_VMS_SECONDS + 60)
    for line in said.splitlines():
        say(line)
    with step("stop the parts"):
        stop_parts(launch, placed)
    say("opsweb is down; `make up` brings back what ran.")
    return 0


def clean_host(panel: Panel, environ: Mapping[str, str]) -> int:
    """Take everything of this panel off the host, its data included; installed packages and the clone stay."""
    if not panel.remembered.exists():
        say(f"nothing of a panel in {panel.state}")
        return 0
    _confirm(panel, environ)
    launch = launch_of(panel, environ)
    placed = last_placed(launch)
    if supervisor.running(panel) is not None:
        _down_anyhow(panel, environ)
    stop_parts(launch, placed)
    if panel.driver == "real" and placed.python.exists():
        manage.run(panel, placed, manage.root(), "clean_host")
    if client.remove(accounts.caller(environ), panel.url):
        say("Removed ~/.config/opsweb/cli.toml.")
    ours = [panel.run] if run_dir_of(panel.run) == panel.state else []  # gone after a reboot, or named wrongly now
    for directory in (*ours, panel.state):
        shutil.rmtree(directory)
        say(f"Removed {directory}.")
    if os.geteuid() == 0 and (said := accounts.remove()):
        say(said)
    return 0


def _down_anyhow(panel: Panel, environ: Mapping[str, str]) -> None:
    """What does not end by itself is ended with the rest."""
    try:
        down(panel, environ)
    except LaunchError as error:
        say(error.message)


def _first_start(launch: Launch, placed: Placed, *, is_new: bool) -> dict[str, str | None]:
    # A new panel knows no token of an old one at the same address.
    wants_token = is_new or client.url_of(accounts.caller(launch.environ)) == ""
    with step("first start"):
        return manage.first_start(launch.panel, placed, launch.account, token=wants_token)


def _check_new_port(panel: Panel) -> None:
    """A running panel that is to move to another port stays as it is when somebody has that port."""
    before = Panel(panel.clone, panel.state, panel.run, recall(panel.remembered))
    if supervisor.running(panel) is not None and (before.bind, before.port) != (panel.bind, panel.port):
        _check_port_free(panel)


def _check_port_free(panel: Panel) -> None:
    family = socket.AF_INET6 if ":" in panel.bind else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((panel.bind, panel.port))
        except OSError as error:
            raise LaunchError("port", f"{panel.bind} port {panel.port}: {error.strerror}. Another one: OPSWEB_PORT=… make up") from None


def _wait_ready(panel: Panel, since: int) -> None:
    """Until every part says so, worker and watcher by a heartbeat younger than `since` (epoch seconds). Raises: LaunchError."""
    with step("ready"):
        late = health.wait(panel, READY_SECONDS, say, since=since)
    if not late:
        return
    for part in supervisor.running(panel) or []:
        if part.state != "RUNNING":
            say(f"--- the end of {panel.log}/{part.name}.log\n{_end_of(panel.log / f'{part.name}.log')}")
    raise LaunchError("not_ready", f"Not ready after {READY_SECONDS} s: {'; '.join(late)}. `make logs` shows why; it goes on trying.")


def _end_of(log: Path) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-12:])
    except OSError as error:
        return str(error)


def _hand_token(launch: Launch, first: Mapping[str, str | None]) -> None:
    who, url = accounts.caller(launch.environ), launch.panel.url
    if (token := first.get("token")) and client.url_of(who) in ("", url):
        client.write(who, url, token)


def _greet(launch: Launch, first: Mapping[str, str | None]) -> None:
    panel, who = launch.panel, accounts.caller(launch.environ)
    say(f"\nopsweb is ready: {panel.url}")
    say(f"  admin     {first['admin']}")
    if first.get("password"):
        say(f"  password  {first['password']}   (once; the first sign-in asks for another)")
    say(f"  logs      {panel.log}   (make logs)")
    named = client.url_of(who)
    if named == panel.url:
        say(f"  command   {venv.directory(panel.clone) / 'bin/opsweb'}   (signed in by {client.path(who)})")
        return
    say(f"  command   {client.path(who)} is for {named} and stays; for this panel set")
    say(f"            OPSWEB_URL={panel.url} OPSWEB_TOKEN={first.get('token') or '<a token of yours>'}")


def _confirm(panel: Panel, environ: Mapping[str, str]) -> None:
    if environ.get("CONFIRM") == "yes":
        return
    question = f"This removes the panel in {panel.state} with all its instances, images and users. Type yes to go on: "
    if not sys.stdin.isatty() or input(question).strip() != "yes":
        raise LaunchError("not_confirmed", "Nothing was removed. Without a terminal: make clean-host CONFIRM=yes")


def develop(clone: Path) -> int:
    """What tests and linters need: packages and the guests' kernel, both lock files, front-end files."""
    with step("packages"):
        _for_tests_as_root(clone)
    with step("environment"):
        venv.ensure(clone, (venv.PANEL_LOCK, venv.TESTS_LOCK))
    with step("front-end files"):
        vendor.ensure(clone, modules=True)
    return 0


def develop_as_root(clone: Path) -> int:
    """The half of `develop` that changes the host: Debian's packages, and the kernel that apt brings."""
    packages.ensure(_wanted_by_tests())
    kernel.ensure_for_tests(clone)
    return 0


def _wanted_by_tests() -> tuple[str, ...]:
    return (*packages.needed("real", own_redis=True), *packages.TESTS)


def _for_tests_as_root(clone: Path) -> None:
    nothing_to_do = not packages.missing(_wanted_by_tests()) and (clone / "build/kernel/version").exists()
    if nothing_to_do:
        return
    if os.geteuid() != 0 and shutil.which("sudo"):
        subprocess.run(["sudo", "/usr/bin/python3", "-B", "-m", "opsweb.launch", "develop-as-root"], cwd=clone, check=True)
    else:
        develop_as_root(clone)
