"""The panel's processes as text: supervisord.conf and redis.conf. Pure; `up` writes what these functions return."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from opsweb.launch.panel import Panel

REDIS_MEMORY = "256mb"
LOG_BYTES, LOG_BACKUPS = "10MB", 3
# supervisor adds a second to its wait at each failure in a row and gives up at this number: practically never.
STARTS = 100_000


@dataclass(frozen=True)
class Part:
    """One process under supervisor. `root` marks the only one that is not the unprivileged user's."""

    name: str
    argv: tuple[str, ...]
    priority: int
    root: bool = False
    umask: str = "007"  # the database is written by two users of one group
    stop_seconds: int = 10
    environment: tuple[tuple[str, str], ...] = ()


def parts(panel: Panel, python: Path, *, workers: int) -> tuple[Part, ...]:
    """The processes of this panel, redis first. `python` is the environment's interpreter, `workers` the size of the worker's pool."""
    redis = (Part("redis", ("/usr/bin/redis-server", str(panel.run / "redis" / "redis.conf")), 10),)
    return (
        *(redis if panel.own_redis else ()),
        Part("web", web_argv(panel, python), 20),
        Part(
            "worker",
            worker_argv(panel, python, workers),
            20,
            root=panel.driver == "real",
            umask="027",
            stop_seconds=30,  # a task that acts on a host ends by itself in this time
            environment=(("C_FORCE_ROOT", "1"),),
        ),
        Part("watcher", (str(python), "manage.py", "watch_host", panel.host), 20),
        Part("beat", beat_argv(panel, python), 20),
    )


def web_argv(panel: Panel, python: Path) -> tuple[str, ...]:
    """uvicorn: sansio websockets block a producer whose viewer does not read, and no frame is larger than 1 MiB."""
    proxied = ("--proxy-headers",) if panel.url.startswith("https://") else ("--no-proxy-headers",)
    # fmt: off
    return (
        str(python), "-m", "uvicorn", "opsweb.asgi:application", "--host", panel.bind, "--port", str(panel.port),
        "--loop", "uvloop", "--http", "httptools", "--lifespan", "off",
        "--ws", "websockets-sansio", "--ws-per-message-deflate", "false", "--ws-max-size", "1048576",
        "--timeout-graceful-shutdown", "3", "--no-server-header", "--no-access-log", *proxied,
    )
    # fmt: on


def worker_argv(panel: Panel, python: Path, workers: int) -> tuple[str, ...]:
    """celery's worker on this host's queue; it takes one task at a time and tells no other worker about itself."""
    # fmt: off
    return (
        str(python), "-m", "celery", "-A", "opsweb.celery", "worker", "-Q", f"host.{panel.host}", "-n", f"worker@{panel.host}",
        "--concurrency", str(workers), "--prefetch-multiplier", "1", "--loglevel", "INFO",
        "--without-gossip", "--without-mingle", "--without-heartbeat",
    )
    # fmt: on


def beat_argv(panel: Panel, python: Path) -> tuple[str, ...]:
    """celery's clock; its schedule file lies in the run directory, where its user may write."""
    schedule = panel.run / "beat" / "schedule"
    return (str(python), "-m", "celery", "-A", "opsweb.celery", "beat", "-s", str(schedule), "--pidfile", "", "--loglevel", "WARNING")


def supervisord_conf(panel: Panel, code: Path, shown: tuple[Part, ...], *, user: str, minfds: int) -> str:
    """supervisord.conf. `user`: the unprivileged user when root calls, "" when the caller runs everything itself."""
    return "\n".join([*_daemon(panel, code, user, minfds), *(line for part in shown for line in _program(panel, part, user))]) + "\n"


def _daemon(panel: Panel, code: Path, user: str, minfds: int) -> list[str]:
    return [
        "; Written by `make up` and `make restart`: a change made here is lost.",
        "[supervisord]",
        *(["user=root"] if user else []),
        f"pidfile={panel.run / 'supervisord.pid'}",
        f"logfile={panel.log / 'supervisord.log'}",
        f"logfile_maxbytes={LOG_BYTES}",
        f"logfile_backups={LOG_BACKUPS}",
        f"directory={quoted(str(code))}",
        "umask=027",
        f"minfds={minfds}",
        "",
        "[unix_http_server]",
        f"file={panel.run / 'supervisor.sock'}",
        "chmod=0700",
        "",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
    ]


def _program(panel: Panel, part: Part, user: str) -> list[str]:
    environment = ",".join(f'{name}="{quoted(value)}"' for name, value in part.environment)
    return [
        "",
        f"[program:{part.name}]",
        f"command={quoted(shlex.join(part.argv))}",
        *([f"user={user}"] if user and not part.root else []),
        *([f"environment={environment}"] if environment else []),
        f"priority={part.priority}",
        f"umask={part.umask}",
        "autorestart=true",
        "startsecs=1",
        f"startretries={STARTS}",
        f"stopwaitsecs={part.stop_seconds}",
        # A VM sits in a session of its own; what is killed with a part is the part's own pool.
        "stopasgroup=false",
        "killasgroup=true",
        f"stdout_logfile={panel.log / part.name}.log",
        f"stdout_logfile_maxbytes={LOG_BYTES}",
        f"stdout_logfile_backups={LOG_BACKUPS}",
        "redirect_stderr=true",
    ]


def quoted(value: str) -> str:
    """supervisor expands `%` in every value."""
    return value.replace("%", "%%")


def redis_conf(panel: Panel) -> str:
    """redis on a unix socket only: it is the door to a process of root."""
    return "\n".join(
        [
            "port 0",
            f"unixsocket {panel.run / 'redis' / 'redis.sock'}",
            "unixsocketperm 660",
            f"dir {panel.state / 'redis'}",
            "appendonly yes",
            'save ""',
            f"maxmemory {REDIS_MEMORY}",
            "maxmemory-policy noeviction",
            "databases 1",
            "daemonize no",
            'logfile ""',
            # `make up` tells a forgotten redis of its own by the unchanged command line.
            "set-proc-title no",
            "",
        ]
    )
