"""One panel's settings as `make` sees them: the caller's environment over what the last `make up` remembered. Every command starts here."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from opsweb.launch import rules
from opsweb.launch.errors import LaunchError

# The variables that the parts get; docs/running.md describes each one, opsweb/environment.py reads them.
NAMES = (
    "OPSWEB_STATE_DIR",
    "OPSWEB_RUN_DIR",
    "OPSWEB_DRIVER",
    "OPSWEB_HOST",
    "OPSWEB_PORT",
    "OPSWEB_BIND",
    "OPSWEB_URL",
    "OPSWEB_KERNEL",
    "OPSWEB_ACCEL",
    "OPSWEB_UID_BASE",
    "OPSWEB_UID_COUNT",
    "OPSWEB_SWEEP_SECONDS",
    "OPSWEB_GUEST_HOST_PORTS",
    "OPSWEB_CONSOLE_KEEP_BYTES",
    "OPSWEB_AUDIT_DAYS",
    "OPSWEB_DEBUG",
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "SECRET_KEY_FILE",
)
SYSTEM_STATE = Path("/var/lib/opsweb")  # of a panel that root runs
REMEMBERED = "panel.env"
RUN_MARK = "panel"  # in the run directory: the state directory of the panel whose it is
LONGEST_RUN_DIR = 50  # bytes: "/vm/<uuid>/control.sock" must fit behind it in the 107 bytes of a unix socket's path (unix(7))
PLAIN_PATH = re.compile(r"/[A-Za-z0-9._+@/-]+")
COMMAND_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Panel:
    """Where a panel lives and how it is reached; two panels on one host share none of it."""

    clone: Path
    state: Path
    run: Path
    given: Mapping[str, str]  # what a person set, now or at an earlier `make up`; never empty values

    @property
    def driver(self) -> str:
        """`real` or `fake`."""
        return self.given.get("OPSWEB_DRIVER", "real")

    @property
    def host(self) -> str:
        """The host row's name and the end of the queue's."""
        return self.given.get("OPSWEB_HOST", "local")

    @property
    def port(self) -> int:
        """The web server's TCP port."""
        return int(self.given.get("OPSWEB_PORT", "8000"))

    @property
    def bind(self) -> str:
        """The address that the web server listens on."""
        return self.given.get("OPSWEB_BIND", "127.0.0.1")

    @property
    def url(self) -> str:
        """The one address under which people reach the panel."""
        return self.given.get("OPSWEB_URL", f"http://localhost:{self.port}").rstrip("/")

    @property
    def own_redis(self) -> bool:
        """Whether `make up` runs a redis of its own."""
        return "REDIS_URL" not in self.given

    @property
    def log(self) -> Path:
        """The directory of every part's log."""
        return self.state / "log"

    @property
    def remembered(self) -> Path:
        """The settings of the last `make up`, for the commands after it."""
        return self.state / REMEMBERED

    @cached_property
    def environment(self) -> dict[str, str]:
        """All that a part finds in its environment; nothing else of the caller's leaks into it."""
        resolved = {
            "OPSWEB_STATE_DIR": str(self.state),
            "OPSWEB_RUN_DIR": str(self.run),
            "OPSWEB_DRIVER": self.driver,
            "OPSWEB_HOST": self.host,
            "OPSWEB_PORT": str(self.port),
            "OPSWEB_BIND": self.bind,
            "OPSWEB_URL": self.url,
        }
        always = {
            "DJANGO_SETTINGS_MODULE": "opsweb.settings",
            "PATH": COMMAND_PATH,
            "LANG": "C.UTF-8",
            "HOME": "/nonexistent",
            "PYTHONUNBUFFERED": "1",
            # The parts may not write beside the code; `make up` compiles it.
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return {**self.given, **resolved, **always}


def parse(text: str) -> dict[str, str]:
    """The lines `NAME=value` of a remembered file; unknown names and everything else are left out."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value for name, found, value in pairs if found and name in NAMES and value}


def render(given: Mapping[str, str]) -> str:
    """The text of the remembered file."""
    return "".join(f"{name}={given[name]}\n" for name in NAMES if given.get(name))


def merge(remembered: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """What holds: a variable set now beats the remembered one; set but empty, it goes back to its default."""
    asked = {name: now[name] for name in NAMES if name in now}
    return {name: value for name, value in {**remembered, **asked}.items() if value}


def find(clone: Path, environ: Mapping[str, str], *, root: bool, starting: bool) -> Panel:
    """The panel that these variables mean.

    `root`: whether the caller is root; `starting`: whether the command is `up`, which never guesses at a remembered driver.
    Raises: LaunchError.
    """
    state = _state_dir(environ, root=root, starting=starting)
    remembered = recall(state / REMEMBERED)
    given = merge(remembered, environ)
    given["OPSWEB_STATE_DIR"] = str(state)
    run = Path(given.get("OPSWEB_RUN_DIR") or _default_run_dir(given.get("OPSWEB_DRIVER", "real"), environ, root=root))
    given["OPSWEB_RUN_DIR"] = str(run)
    panel = Panel(clone=clone, state=state, run=run, given=given)
    check(panel)
    return panel


def check(panel: Panel) -> None:
    """Raises: LaunchError("bad_setting") for what no part could start with."""
    for name, path in (("OPSWEB_STATE_DIR", panel.state), ("OPSWEB_RUN_DIR", panel.run)):
        if not PLAIN_PATH.fullmatch(str(path)) or ".." in path.parts:
            raise LaunchError("bad_setting", f"{name} must be an absolute path of letters, digits and ._+@-, not {str(path)!r}.")
    if len(str(panel.run)) > LONGEST_RUN_DIR:
        raise LaunchError("bad_setting", f"OPSWEB_RUN_DIR has more than {LONGEST_RUN_DIR} characters; the sockets in it would not fit.")
    broken = [name for name, value in panel.given.items() if "\n" in value or "\0" in value]
    if broken:
        raise LaunchError("bad_setting", f"{broken[0]} holds a line break.")
    rules.check(panel.given)
    if panel.run == panel.state or panel.run in panel.state.parents:
        raise LaunchError("bad_setting", f"OPSWEB_RUN_DIR is cleared with the panel: {panel.run} can't hold {panel.state}.")
    _refuse_another_run_dir(panel)


def _refuse_another_run_dir(panel: Panel) -> None:
    """Who forgets OPSWEB_RUN_DIR for a second panel must not end the parts of the first."""
    owner = run_dir_of(panel.run)
    if owner not in (None, panel.state):
        raise LaunchError("foreign_run", f"{panel.run} is the run directory of the panel in {owner}: give OPSWEB_RUN_DIR one of its own.")
    before = recall(panel.remembered).get("OPSWEB_RUN_DIR", str(panel.run))
    if Path(before) != panel.run and run_dir_of(Path(before)) == panel.state:
        raise LaunchError("moved_run", f"This panel runs in {before}: `make down` and remove it before OPSWEB_RUN_DIR names another.")


def run_dir_of(run: Path) -> Path | None:
    """The state directory of the panel that a run directory belongs to; None while it is nobody's."""
    try:
        return Path((run / RUN_MARK).read_text().strip())
    except OSError:
        return None


def user_state_dir(environ: Mapping[str, str]) -> Path:
    """Where a plain user's fake panel keeps its state."""
    return Path(environ.get("XDG_STATE_HOME") or Path(environ.get("HOME", "/")) / ".local/state") / "opsweb"


def _state_dir(environ: Mapping[str, str], *, root: bool, starting: bool) -> Path:
    if named := environ.get("OPSWEB_STATE_DIR"):
        return Path(os.path.normpath(named))
    own = user_state_dir(environ)
    if root:
        return SYSTEM_STATE
    if environ.get("OPSWEB_DRIVER") == "fake":
        return own
    forgotten_driver = not environ.get("OPSWEB_DRIVER") and not starting
    return own if forgotten_driver and (own / REMEMBERED).exists() and not (SYSTEM_STATE / REMEMBERED).exists() else SYSTEM_STATE


def _default_run_dir(driver: str, environ: Mapping[str, str], *, root: bool) -> str:
    if root or driver == "real":
        return "/run/opsweb"
    runtime = environ.get("XDG_RUNTIME_DIR")
    return f"{runtime}/opsweb" if runtime and Path(runtime).is_dir() else f"/tmp/opsweb-{os.getuid()}"  # noqa: S108


def recall(path: Path) -> dict[str, str]:
    """What a remembered file holds; nothing where there is none."""
    try:
        return parse(path.read_text())
    except FileNotFoundError:
        return {}
    except PermissionError:
        return {}  # the command asks for root next and reads it then
