"""Installs missing Debian packages, with service starts forbidden meanwhile. Called by `make up` and `make develop`."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from opsweb.launch.errors import LaunchError

ENVIRONMENT = ("python3-venv",)  # ensurepip; a Debian without it makes no virtual environment
REDIS = ("redis-server",)
LIBRARIES = ("libarchive13",)  # libarchive-c loads it to read uploaded archives
HOST = ("qemu-system-x86", "qemu-utils", "nftables", "dnsmasq-base", "busybox-static", "iproute2", "util-linux")
# What the tests use beside the panel's own: a browser, the documents' own compiler (with gcc it links dynamically), small tools.
TESTS = ("chromium", "fonts-dejavu-core", "golang-go", "gcc", "libc6-dev", "curl", "socat", "procps", "cpio", "postgresql")

SERVICES = {"redis-server", "postgresql"}  # packages that would start one of the same name
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_MARK = "# opsweb: no service starts while its packages are installed"
POLICY_TEXT = f"#!/bin/sh\n{POLICY_MARK}\nexit 101\n"
FORBIDDEN = 101  # invoke-rc.d(8): action forbidden by policy


def needed(driver: str, *, own_redis: bool) -> tuple[str, ...]:
    """The packages that a panel with these settings runs on."""
    redis = REDIS if own_redis else ()
    return (*ENVIRONMENT, *LIBRARIES, *redis, *(HOST if driver == "real" else ()))


def missing(names: Sequence[str]) -> list[str]:
    """Those of `names` that are not installed."""
    done = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *names],
        capture_output=True,
        text=True,
    )
    installed = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in installed]


def ensure(names: Sequence[str]) -> list[str]:
    """Install those of `names` that are missing and return them. Raises: LaunchError when not root or when apt-get fails."""
    lacking = missing(names)
    if not lacking:
        return []
    _check_can_install(lacking)
    with services_held():
        _install(lacking)
    for service in SERVICES & set(lacking):
        _keep_off_at_boot(service)
    return lacking


def _check_can_install(lacking: Sequence[str]) -> None:
    wanted = " ".join(lacking)
    if shutil.which("apt-get") is None or platform.machine() != "x86_64":
        raise LaunchError("no_apt", f"opsweb installs its packages on Debian 12, x86-64. Missing here: {wanted}")
    if os.geteuid() != 0:
        raise LaunchError("packages", f"Missing packages; install them first: sudo apt-get install --no-install-recommends {wanted}")


@contextmanager
def services_held() -> Iterator[None]:
    """Forbid service starts by invoke-rc.d's policy file; a foreign one is asked, never changed.

    Raises: LaunchError("foreign_policy") when somebody else's policy would let redis-server start.
    """
    if POLICY.exists() and not _is_ours():
        if subprocess.run([POLICY, "redis-server", "start"], capture_output=True).returncode != FORBIDDEN:
            raise LaunchError(
                "foreign_policy", f"{POLICY} is not ours and lets services start: move it away, or install redis-server yourself."
            )
        yield
        return
    POLICY.write_text(POLICY_TEXT)
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def _is_ours() -> bool:
    return POLICY_MARK in POLICY.read_text(errors="replace")


def _install(names: Sequence[str]) -> None:
    argv = ["apt-get", "install", "-y", "--no-install-recommends", *names]
    first = _apt(argv)
    if first.returncode == 0:
        return
    _apt(["apt-get", "update"])  # one dead source must not matter: the second try tells
    second = _apt(argv)
    if second.returncode != 0:
        raise LaunchError("apt", f"apt-get could not install {' '.join(names)}:\n{second.stdout[-2000:]}")


def _apt(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(argv, env=env, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def _keep_off_at_boot(service: str) -> None:
    """The policy forbids the start now; without this Debian's own redis would listen on 6379 after the next boot, for one."""
    # By their own tools, which also work where no init system runs: update-rc.d(8) for sysvinit, deb-systemd-helper(1p) for systemd.
    for argv in (["update-rc.d", service, "disable"], ["deb-systemd-helper", "disable", f"{service}.service"]):
        if shutil.which(argv[0]):
            subprocess.run(argv, capture_output=True)
