"""Locks the builder's child in before it reads an uploaded byte. Linux only; the order is the one of `lock_in`'s docstring."""

import ctypes
import os
import resource

from instances.imaging.base import Limits

_CLONE_NEWNET = 0x4000_0000  # linux/sched.h
_CLONE_NEWIPC = 0x0800_0000
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_SIGKILL = 9
_OPEN_FILES = 1200  # 1,000 libraries and some

_libc = ctypes.CDLL(None, use_errno=True)


def lock_in(uid: int, limits: Limits) -> None:
    """Everything is imported by now and may lie where `uid` can't read.

    1. As root: an empty network namespace (no interface but a loopback that is down) and its own System V IPC.
    2. Resource limits, hard ones: memory, CPU time, file size, descriptors; no further process or thread, no core dump.
    3. As root: groups, group and user become `uid`'s, with no way back.
    4. no_new_privs; not dumpable; killed when the parent dies.

    Without root, steps 1 and 3 are left out: the child then is no more than the one who started it.
    """
    root = os.geteuid() == 0
    if root:
        _call("unshare", _CLONE_NEWNET | _CLONE_NEWIPC)
    _limit(limits)
    if root:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)
    _call("prctl", _PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)


def _limit(limits: Limits) -> None:
    # The image holds libraries and headers beside what was unpacked.
    file_bytes = limits.unpacked_bytes + 1024**3
    for what, most in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.seconds),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def _call(name: str, *arguments: int) -> None:
    if getattr(_libc, name)(*(ctypes.c_ulong(argument) for argument in arguments)) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
