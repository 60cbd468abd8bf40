"""The reference: QEMU as a person would start it, with the very command line of one of ours, descriptors replaced by paths."""

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.host.panel import wait_until

BOUND_SECONDS = 300  # of one QEMU's life


class Bare:
    """What is needed to start the like of a VM that runs now: its command line, kernel, and the same bytes as its initrd."""

    def __init__(self, record: dict[str, Any], kernel: Path, place: Path) -> None:
        self._argv, self._kernel, self._place = record["argv"], kernel, place
        place.mkdir(exist_ok=True)
        self._initrd = place / "initrd"
        descriptor = _behind(self._argv, "-initrd")  # /proc/self/fd/N of the running QEMU
        self._initrd.write_bytes(Path(descriptor.replace("self", str(record["process"]["pid"]))).read_bytes())

    def command(self, name: str = "vm") -> list[str]:
        """The command line, with sockets and logs in a directory `name`."""
        directory = self._place / name
        directory.mkdir(exist_ok=True)
        words = [self._by_path(word, directory) for word in _without(self._argv[1:], "-add-fd")]
        words[words.index("-kernel") + 1] = str(self._kernel)
        words[words.index("-initrd") + 1] = str(self._initrd)
        return [Path(self._argv[0]).name, *words]

    def serial(self, name: str = "vm") -> Path:
        """Its console's socket."""
        return self._place / name / "console.sock"

    @contextmanager
    def running(self, name: str = "vm") -> Iterator[None]:
        """Started, its sockets there; ended and reaped afterwards."""
        child = subprocess.Popen(["timeout", str(BOUND_SECONDS), *self.command(name)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(self.serial(name).exists, "QEMU listens")
            yield
        finally:
            self.serial(name).unlink(missing_ok=True)
            child.terminate()
            child.wait(10)

    def _by_path(self, word: str, directory: Path) -> str:
        """A console on a socket, as socat needs it, in place of stdin and stdout."""
        word = re.sub(r"id=(control|watch),fd=\d+", rf"id=\1,path={directory}/\1.sock", word)
        word = word.replace("stdio,id=console,signal=off", f"socket,id=console,path={directory}/console.sock,server=on,wait=off")
        return word.replace("/dev/fdset/1", f"{directory}/status.log")


def paused_loop(bare: Bare, count: int, at_once: int, place: Path) -> float:
    """A shell loop that starts `count` paused guests, `at_once` at a time; seconds until the last one greets. They are gone afterwards.

    `-daemonize` returns when QEMU is ready; it contradicts the sandbox and cannot share forwarded ports, so both are left out.
    """
    files = [place / f"start-{number}" for number in range(count)]
    for number, file in enumerate(files):
        words = [re.sub(r",hostfwd=[^,]+", "", word) for word in _without(bare.command(f"vm{number}"), "-sandbox")]
        words += ["-S"] if "-S" not in words else []
        words += ["-daemonize", "-pidfile", str(place / f"vm{number}" / "pid")]
        file.write_text("exec " + " ".join(f"'{word}'" for word in words) + "\n")
    try:
        began = time.monotonic()
        subprocess.run(["xargs", "-P", str(at_once), "-n", "1", "sh"], input="\n".join(map(str, files)), text=True, check=True, timeout=120)
        return time.monotonic() - began
    finally:
        for number in range(count):
            _kill(place / f"vm{number}" / "pid")


def _kill(pidfile: Path) -> None:
    """End a QEMU that is nobody's child, and see it gone."""
    if not pidfile.exists():
        return
    pidfd = os.pidfd_open(int(pidfile.read_text()))
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        assert select.select([pidfd], [], [], 10)[0], f"{pidfile}: still there"
    finally:
        os.close(pidfd)
        pidfile.unlink()


def _behind(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


def _without(words: list[str], option: str) -> list[str]:
    """`words` without each `option` and its value."""
    kept = list(words)
    while option in kept:
        at = kept.index(option)
        del kept[at : at + 2]
    return kept
