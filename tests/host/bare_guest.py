"""A bare QEMU that boots the three parts of a Linux guest and hears what its init says: no driver of ours in between."""

import contextlib
import json
import os
import select
import selectors
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from instances.imaging import cpio
from instances.imaging.base import GuestConfig
from instances.imaging.base_archive import base_archive, cmdline
from instances.imaging.image import default_entries
from instances.imaging.instance_archive import instance_archive
from instances.imaging.kernel import Kernel

BOUND_SECONDS = 60  # of one guest's whole life
MAC = "52:54:00:00:00:01"


class BareGuest:
    """One running guest. Lines of the status port come through QEMU's standard output, so they are awaited and never polled for."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path, host_port: int) -> None:
        self._process = process
        self._directory = directory
        self._host_port = host_port
        self._deadline = time.monotonic() + BOUND_SECONDS
        self._rest = b""
        self.said: list[str] = []  # status lines without their time

    def hear(self, wanted: str) -> str:
        """The next status line that begins with `wanted`, whole; everything on the way goes to `said`."""
        for line in self._lines():
            self.said.append(line.rpartition(" ")[0])
            if line.startswith(wanted):
                return line
        raise AssertionError(f"the guest ended without {wanted!r}; it said {self.said} and printed {self.console()!r}")

    def hears_within(self, wanted: str, seconds: float) -> bool:
        """Whether a line that begins with `wanted` comes soon."""
        kept, self._deadline = self._deadline, min(self._deadline, time.monotonic() + seconds)
        try:
            self.hear(wanted)
        except TimeoutError:
            return False
        finally:
            self._deadline = kept
        return True

    def wait_for_console(self, text: str) -> None:
        """Wait until the console shows `text`: as a viewer connected from the beginning would."""
        while text not in self.console():
            if time.monotonic() > self._deadline:
                raise TimeoutError(f"no {text!r} on the console: {self.console()!r}")
            select.select([], [], [], 0.02)

    def end(self) -> list[str]:
        """Wait until QEMU is gone; what the guest said from start to end."""
        for line in self._lines():
            self.said.append(line.rpartition(" ")[0])
        assert self._process.wait(5) == 0
        return self.said

    def console(self) -> str:
        """What it has printed, lines ending as a program wrote them."""
        path = self._directory / "console"
        return path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n") if path.exists() else ""

    def type(self, keys: bytes) -> None:
        """Send input to the console."""
        with socket.socket(socket.AF_UNIX) as console:
            console.connect(str(self._directory / "console.sock"))
            console.sendall(keys)
            console.shutdown(socket.SHUT_WR)
            console.settimeout(10)
            with contextlib.suppress(TimeoutError):
                console.recv(1)  # the echo: it has arrived

    def powerdown(self) -> None:
        """Press the ACPI power button."""
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(10)
            monitor.connect(str(self._directory / "qmp.sock"))
            answers = monitor.makefile("rw")
            answers.readline()
            for command in ("qmp_capabilities", "system_powerdown"):
                answers.write(json.dumps({"execute": command}) + "\n")
                answers.flush()
                answers.readline()

    def get(self, path: str = "/") -> bytes:
        """An HTTP answer of guest port 8080."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._host_port}{path}", timeout=20) as answer:
            return answer.read()

    def _lines(self) -> Iterator[str]:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while selector.select(max(0.0, self._deadline - time.monotonic())):
                chunk = os.read(self._process.stdout.fileno(), 4096)
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                yield from (line.decode("ascii").rstrip("\r") for line in lines)
                if not chunk:
                    return
        raise TimeoutError(f"nothing more in time; it said {self.said} and printed {self.console()!r}")


@contextlib.contextmanager
def booted(kernel: Kernel, image: bytes, config: GuestConfig, directory: Path, host_port: int, *more: str) -> Iterator[BareGuest]:
    """Boot the three parts; the guest is killed when the block ends."""
    initrd = directory / "initrd"
    initrd.write_bytes(base_archive(kernel, Path("/bin/busybox")) + image + instance_archive(config))
    console = f"socket,id=console,path={directory}/console.sock,server=on,wait=off,logfile={directory}/console"
    process = subprocess.Popen(
        [
            *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"),
            *("-machine", "q35,vmport=off,smbus=off,sata=off", "-accel", "tcg", "-cpu", "max", "-m", "192"),
            *("-kernel", str(kernel.image), "-initrd", str(initrd), "-append", cmdline("tcg")),
            *("-chardev", console, "-serial", "chardev:console", "-serial", "stdio"),
            *("-qmp", f"unix:{directory}/qmp.sock,server=on,wait=off"),
            *(
                "-netdev",
                f"user,id=net0,hostfwd=tcp:127.0.0.1:{host_port}-:8080",
                "-device",
                f"virtio-net-pci,netdev=net0,mac={MAC},romfile=",
            ),
            *more,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        yield BareGuest(process, directory, host_port)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def script_image(text: str) -> bytes:
    """An image whose program /prog is a shell script."""
    return cpio.pack([*default_entries(), cpio.regular("prog", f"#!/bin/sh\n{text}\n".encode(), 0o755)])
