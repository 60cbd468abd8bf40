"""Starting one QEMU process: its sockets, logs, memfds and the spawn itself, for `qemu`. Nothing here looks at other VMs."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from .argv import Descriptors
from .base import DriverError, Machine, RunPaths, TapNic

DEVICE_KVM = Path("/dev/kvm")
DEVICE_VHOST_NET = Path("/dev/vhost-net")
MAX_SOCKET_PATH = 107  # bytes, unix(7)
LAST_WORDS = 4096  # bytes of stderr that are looked at

_LOG = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Opened:
    """Everything that QEMU inherits; closed on our side once it runs, except the taps, which are the caller's."""

    fds: Descriptors
    typed: int  # its stdin
    console_log: int  # its stdout
    stderr: int
    taps: tuple[int, ...] = ()

    @property
    def inherited(self) -> list[int]:
        """The descriptors to keep open across exec."""
        fds = self.fds
        always = [fds.control, fds.watch, fds.status_log, fds.kernel]
        return [
            *always,
            *([fds.initrd] if fds.initrd is not None else []),
            *(fd for of_nic in fds.vhost.values() for fd in of_nic),
            *self.taps,
        ]


def make_directory(path: Path, group: int) -> None:
    """A directory of root's that the panel's group may enter and no VM can."""
    path.mkdir(mode=0o750, parents=True, exist_ok=True)
    os.chown(path, -1, group)
    path.chmod(0o750)


@contextmanager
def opened(machine: Machine, paths: RunPaths, group: int) -> Iterator[Opened]:
    """Open all that the machine's QEMU needs; the sockets' files stay, for the one who then starts it.

    Raises: OSError (a missing kernel, no space …).
    """
    taps = {number: nic for number, nic in enumerate(machine.nics) if isinstance(nic, TapNic)}
    with ExitStack() as stack:

        def keep(fd: int) -> int:
            stack.callback(os.close, fd)
            return fd

        fds = Descriptors(
            control=keep(listen(paths.control, 0o600, 0)),
            watch=keep(listen(paths.watch, 0o660, group)),
            status_log=keep(open_log(paths.status_log, 0o660, group)),
            kernel=keep(open_kernel(machine.kernel)),
            initrd=keep(memfd("initrd", machine.initrd)) if machine.initrd else None,
            vhost={number: tuple(keep(fd) for fd in vhost_nets(len(nic.fds))) for number, nic in taps.items()},
        )
        typed = keep(make_pipe(paths.typed, 0o660, group))
        console_log = keep(open_log(paths.console_log, 0o660, group))
        stderr = keep(open_log(paths.stderr_log, 0o660, group))
        yield Opened(fds, typed, console_log, stderr, tuple(fd for nic in taps.values() for fd in nic.fds))


def vhost_nets(queues: int) -> Iterator[int]:
    """A new descriptor of the kernel's own virtio-net for each queue; none where the kernel lacks it."""
    if DEVICE_VHOST_NET.exists():
        for _ in range(queues):
            yield os.open(DEVICE_VHOST_NET, os.O_RDWR | os.O_CLOEXEC)


def open_kernel(path: Path) -> int:
    """The kernel, such that QEMU may open it again as another uid: the file itself where anybody may read it, else a copy in memory."""
    if path.stat().st_mode & stat.S_IROTH:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return memfd("kernel", (path,))


def listen(path: Path, mode: int, group: int) -> int:
    """A listening unix socket at `path`, whatever was there before. Nobody else can connect before owner and mode are right."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(os.fspath(path))
        os.chown(path, -1, group)
        path.chmod(mode)
        listener.listen(16)
        return listener.detach()


def make_pipe(path: Path, mode: int, group: int) -> int:
    """A new named pipe at `path`, whatever was there before. Held open for both ends: its reader never meets an end of file (fifo(7))."""
    path.unlink(missing_ok=True)
    os.mkfifo(path, 0o600)
    os.chown(path, -1, group)
    path.chmod(mode)
    return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)


def open_log(path: Path, mode: int, group: int) -> int:
    """The log at `path`, for appending; a symbolic link is refused (SEC-A8)."""
    fd = os.open(path, _LOG, mode)
    os.fchown(fd, -1, group)
    os.fchmod(fd, mode)
    return fd


def memfd(name: str, parts: tuple[Path | bytes, ...]) -> int:
    """The parts one after the other in anonymous memory, each padded to 4 bytes as concatenated cpio archives must be."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    try:
        for part in parts:
            size = _write(fd, part) if isinstance(part, bytes) else _copy(fd, part)
            _write(fd, b"\0" * (-size % 4))
    except BaseException:
        os.close(fd)
        raise
    return fd


def spawn(machine: Machine, argv: list[str], files: Opened) -> subprocess.Popen[bytes]:
    """Run `argv` as the machine's own user, in a session of its own, with the opened files and nothing else.

    setpriv(1) takes root's rights away, so that Popen needs no fork of its own for that and can use vfork(2): a copy of the worker's page
    tables costs more than all else that a start costs us. Not -daemonize and -runas: they contradict the sandbox.
    Raises: DriverError("start_failed").
    """
    if machine.uid < 1:
        raise DriverError("start_failed", "A VM cannot run as root: its uid must be at least 1.")
    words = [*_as_user(machine), _program(argv[0]), *argv[1:]]
    os.ftruncate(files.fds.status_log, 0)
    os.ftruncate(files.stderr, 0)
    child = subprocess.Popen(
        words, stdin=files.typed, stdout=files.console_log, stderr=files.stderr, pass_fds=files.inherited,
        umask=0o077, cwd="/", env={}, start_new_session=True,
    )  # fmt: skip
    # Whoever ends it later may be another process, and only its parent can reap it: without this it would stay a zombie.
    threading.Thread(target=child.wait, name=f"reap-{child.pid}", daemon=True).start()
    return child


def _program(name: str) -> str:
    path = shutil.which(name, path=_SEARCH_PATH)
    if path is None:
        raise DriverError("start_failed", f"{name} is not installed on this host.")
    return path


def _as_user(machine: Machine) -> list[str]:
    also = ",".join(str(group) for group in groups(machine.accelerator))
    others = f"--groups={also}" if also else "--clear-groups"
    return [_program("setpriv"), f"--reuid={machine.uid}", f"--regid={machine.uid}", others, "--"]


def groups(accelerator: str) -> list[int]:
    """The groups a VM is in beside its own: with KVM the one that opens /dev/kvm (never root's), else none."""
    group = DEVICE_KVM.stat().st_gid if accelerator == "kvm" and DEVICE_KVM.exists() else 0
    return [group] if group else []


def last_words(child: subprocess.Popen[bytes], binary: str, stderr_log: Path) -> str:
    """Why a QEMU that did not get as far as its greeting ended, in its own words where it had some."""
    try:
        code = child.wait(timeout=2)
    except subprocess.TimeoutExpired:
        return "QEMU did not greet in time."
    lines = [line for line in stderr_tail(stderr_log).splitlines() if line.strip()]
    if lines:
        return lines[-1].removeprefix(f"{binary}: ")
    return f"QEMU was ended by {signal.Signals(-code).name}." if code < 0 else f"QEMU ended with code {code} and said nothing."


def stderr_tail(path: Path) -> str:
    """The end of what QEMU wrote to its stderr; "" when it wrote nothing."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LAST_WORDS))
            return file.read(LAST_WORDS).decode(errors="replace").strip()
    except FileNotFoundError:
        return ""


def _copy(fd: int, path: Path) -> int:
    with path.open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        done = 0
        while done < size:
            sent = os.sendfile(fd, source.fileno(), done, size - done)
            if not sent:
                raise OSError(f"{path} became shorter while it was read")
            done += sent
    return size


def _write(fd: int, data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    return len(data)
