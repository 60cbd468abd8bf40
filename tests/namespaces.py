"""A network of its own for each test module that runs isolated: what one leaves behind, or is slow to take away, meets no other."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

OWN = Path("/proc/self/ns/net")
CLONE_NEWNET = 0x40000000  # linux/sched.h
CLONE_NEWNS = 0x00020000
_libc = ctypes.CDLL(None, use_errno=True)


@cache
def is_isolated() -> bool:
    """Whether this process left the network of the machine (see ISOLATED in the Makefile)."""
    try:
        return OWN.readlink() != Path("/proc/1/ns/net").readlink()
    except PermissionError:  # pid 1 is not ours to look at; a namespace just made has no route
        return subprocess.run(["/usr/sbin/ip", "route"], check=True, capture_output=True, timeout=10).stdout == b""


def in_own_namespace() -> None:
    """Never bind or reach anything in the network of the machine; in our own namespace bring the loopback up."""
    if not is_isolated():
        pytest.fail("Refused: this process shares the network of the machine. Run it by `unshare --net --mount --fork`.", pytrace=False)
    subprocess.run(["/usr/sbin/ip", "link", "set", "lo", "up"], check=True, timeout=10)


@contextmanager
def fresh_network() -> Iterator[None]:
    """Inside, this thread and what it starts are in a new network namespace, loopback up. Nothing where nobody is isolated."""
    if os.geteuid() != 0 or not is_isolated():
        yield
        return
    before = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.unshare(CLONE_NEWNET))
        subprocess.run(["/usr/sbin/ip", "link", "set", "lo", "up"], check=True, timeout=10)
        yield
    finally:
        _check(_libc.setns(before, CLONE_NEWNET))
        os.close(before)


def leave_shared_mounts() -> None:
    """One of several test processes of a run sees no mount of another. Nothing where nobody is isolated."""
    if os.geteuid() == 0 and is_isolated():
        _check(_libc.unshare(CLONE_NEWNS))  # private already: `unshare --mount` made them so


def _check(returned: int) -> None:
    if returned:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
