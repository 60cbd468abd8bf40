"""One call's panel and its parts: prepares the host, places the code, starts and stops the parts. Called by `commands` and `asking`."""

import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from opsweb.launch import accounts, host, kernel, manage, placing, supervisor, vendor, venv
from opsweb.launch import parts as texts
from opsweb.launch.accounts import Account
from opsweb.launch.errors import LaunchError
from opsweb.launch.panel import Panel, render
from opsweb.launch.placing import Placed
from opsweb.launch.say import say, step


@dataclass(frozen=True)
class Launch:
    """One call of a command: the panel, who called, and whose the parts are (None: the caller's, who is not root)."""

    panel: Panel
    environ: Mapping[str, str]
    account: Account | None

    @property
    def parts_user(self) -> str:
        """What supervisor calls the unprivileged user; "" when the caller runs all."""
        return self.account.name if self.account else ""

    @property
    def worker(self) -> Account:
        """Who owns what the worker writes."""
        if self.account is None:
            return accounts.caller(self.environ)
        return manage.root() if self.panel.driver == "real" else self.account


def launch_of(panel: Panel, environ: Mapping[str, str]) -> Launch:
    """Root's parts belong to the user `opsweb` where that user exists already."""
    return Launch(panel, environ, accounts.existing() if os.geteuid() == 0 else None)


def prepare(launch: Launch) -> None:
    """Everything that must be there before a part can run."""
    panel = launch.panel
    with step("environment"):
        venv.ensure(panel.clone)
    with step("front-end files"):
        vendor.ensure(panel.clone)
    host.make_directories(panel, launch.account or launch.worker, launch.worker)
    host.make_secret_key(panel, launch.account or launch.worker)
    if panel.driver == "real":
        with step("guest kernel"):
            kernel.ensure(panel, launch.account or launch.worker)


def place(launch: Launch) -> tuple[Placed, str]:
    """Where the parts' code is, and a mark that changes when code or settings do."""
    clone = launch.panel.clone
    mark = placing.fingerprint(clone)
    stamp = venv.directory(clone) / ".compiled"
    if not stamp.exists() or stamp.read_text() != mark:
        placing.compile_code(clone)
        stamp.write_text(mark)
    with step("code"):
        placed = placing.place(clone, launch.panel.state, launch.account, mark)
    if placed.reason:
        say(f"the parts run a copy in {placed.code}: {placed.reason}")
    return placed, mark


def last_placed(launch: Launch) -> Placed:
    """What the last `make up` used."""
    copy = Placed(launch.panel.state / "code", launch.panel.state / "venv/bin/python")
    return copy if copy.code.exists() else Placed(launch.panel.clone, venv.python(launch.panel.clone))


def _parts(launch: Launch, placed: Placed) -> tuple[texts.Part, ...]:
    return texts.parts(launch.panel, placed.python, workers=max(4, min(8, os.cpu_count() or 4)))


def _conf(launch: Launch, placed: Placed) -> str:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    minfds = min(65_536, hard if hard != resource.RLIM_INFINITY else 65_536)
    return texts.supervisord_conf(launch.panel, placed.code, _parts(launch, placed), user=launch.parts_user, minfds=minfds)


def _started_with(launch: Launch, placed: Placed, mark: str) -> str:
    """Everything that a running panel was started with; another text means that it has to be started anew."""
    return f"{mark}\n{sorted(launch.panel.environment.items())!r}\n{_conf(launch, placed)}"


def _stamp(panel: Panel) -> Path:
    return panel.run / "started"


def is_current(launch: Launch, placed: Placed, mark: str) -> bool:
    """Whether what runs was started with this code and these settings."""
    stamp = _stamp(launch.panel)
    same = stamp.exists() and stamp.read_text() == _started_with(launch, placed, mark)
    return same and supervisor.running(launch.panel) is not None


def start(launch: Launch, placed: Placed, mark: str) -> None:
    """Start supervisord, which starts the parts. Only settings that came this far are remembered."""
    panel = launch.panel
    host.write(panel.remembered, render(panel.given), mode=0o600)
    host.write(supervisor.conf_path(panel), _conf(launch, placed), mode=0o600)
    host.write(panel.run / "redis" / "redis.conf", texts.redis_conf(panel), mode=0o640, gid=launch.account.gid if launch.account else None)
    with step("start"):
        supervisor.start(panel, placed.python, panel.environment)
    host.write(_stamp(panel), _started_with(launch, placed, mark), mode=0o600)


def stop_parts(launch: Launch, placed: Placed) -> bool:
    """End supervisord with its parts, then parts that a killed supervisord left behind; False when there was nothing."""
    stopped = supervisor.stop(launch.panel)
    left = supervisor.forgotten(launch.panel, _parts(launch, placed))
    supervisor.end(left)
    return stopped or bool(left)


def need_state(panel: Panel) -> None:
    """Raises: LaunchError where no panel was ever made."""
    if not panel.remembered.exists():
        raise LaunchError("no_panel", f"There is no panel in {panel.state}: `make up` first.")
