"""`opsweb instance logs` and `console`: offsets, what is not kept any more, the terminal in raw mode, taking over."""

import fcntl
import os
import pty
import signal
import subprocess
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.called import Done
from tests.unit.cli.fake_state import State, Vm

Opsweb = Callable[..., Done]
Spawn = Callable[..., "subprocess.Popen[bytes]"]


def test_logs_are_the_bytes_as_they_are(opsweb: Opsweb, state: State) -> None:
    text = b"\x00\xff\x1b[31m" + b"x" * 10_000
    state.vm("web1").prints(text)
    assert opsweb("instance", "logs", "web1").out == text
    assert opsweb("instance", "logs", "web1", "--from", "10000").out == text[10_000:]


def test_logs_as_json_tell_the_offsets(opsweb: Opsweb, state: State) -> None:
    vm = state.vm("web1", kept_from=4)
    vm.prints(b"lost" + b"kept \xff")
    assert opsweb("instance", "logs", "web1", "--json").json == {
        "start": 4,
        "end": 10,
        "from": 4,
        "next": 10,
        "text": "kept \N{REPLACEMENT CHARACTER}",
    }


def test_logs_of_nothing_are_empty(opsweb: Opsweb, state: State) -> None:
    state.vm("web1")
    assert opsweb("instance", "logs", "web1") == Done(0, b"", "")
    assert opsweb("instance", "logs", "none").code == 5


def test_logs_watched_go_on_until_the_instance_ends(opsweb: Opsweb, state: State) -> None:
    vm = state.vm("web1", kept_from=2)
    vm.prints(b"--one ")

    def later() -> None:
        vm.prints(b"two")
        vm.ends(code=9)

    state.on(f"GET instances/{vm.id}", later)
    done = opsweb("instance", "logs", "-w", "web1")
    assert (done.code, done.out) == (0, b"one two")


def test_what_is_not_kept_any_more_is_told(opsweb: Opsweb, state: State) -> None:
    vm = state.vm("web1", kept_from=100)
    vm.prints(b"-" * 100 + b"kept")
    state.on(f"GET instances/{vm.id}", lambda: (vm.wait_until(lambda: bool(state.sent("OPEN", vm.id)), 5), vm.ends())[1])
    done = opsweb("instance", "logs", "-w", "--from", "40", "web1")
    assert done.out == b"kept"


def test_ctrl_c_ends_watching_and_nothing_else(spawn: Spawn, state: State) -> None:
    vm = state.vm("web1")
    vm.prints(b"ready")
    process = spawn("instance", "logs", "-w", "web1")
    assert process.stdout
    assert process.stdout.read(5) == b"ready"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert vm.verbs == []


@pytest.mark.parametrize("words", [("logs", "-w", "web1"), ("console", "web1")])
def test_what_has_no_end_is_no_json_document(opsweb: Opsweb, state: State, words: tuple[str, ...]) -> None:
    state.vm("web1")
    done = opsweb("instance", *words, "--json")
    assert done.code == 2
    assert done.json["code"] == "usage"


def test_a_console_needs_a_terminal(opsweb: Opsweb, state: State) -> None:
    state.vm("web1")
    done = opsweb("instance", "console", "web1")
    assert done.code == 2
    assert "logs -w" in done.err


class Terminal:
    """Our side of a pseudo terminal with the command on it."""

    def __init__(self, spawn: Spawn, *argv: str) -> None:
        self.ours, theirs = pty.openpty()
        # In a session of its own, the terminal its controlling one: Ctrl-C becomes a signal as for a person.
        own: dict[str, Any] = {"start_new_session": True, "preexec_fn": lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)}
        self.process = spawn(*argv, stdin=theirs, stdout=theirs, stderr=theirs, **own)
        os.close(theirs)
        self.seen = b""

    def until(self, wanted: bytes) -> None:
        while wanted not in self.seen:
            self.seen += os.read(self.ours, 4096)

    def types(self, data: bytes) -> None:
        os.write(self.ours, data)


@pytest.fixture
def terminal(spawn: Spawn) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_one(*argv: str) -> Terminal:
        opened.append(Terminal(spawn, *argv))
        return opened[-1]

    yield open_one
    for one in opened:
        os.close(one.ours)


def test_every_key_goes_to_the_guest_and_ctrl_bracket_leaves(terminal: Callable[..., Terminal], state: State) -> None:
    vm = state.vm("web1")
    vm.prints(b"login: ")
    shown = terminal("instance", "console", "web1")
    shown.until(b"login: ")
    shown.types("ä\x03\r".encode())
    assert vm.wait_until(lambda: vm.typed == "ä\x03\r")
    vm.prints(b"welcome")
    shown.until(b"welcome")
    shown.types(b"x\x1d")
    assert shown.process.wait(timeout=20) == 0
    assert vm.state == "running"


def test_taking_over_is_asked_for(terminal: Callable[..., Terminal], state: State) -> None:
    vm = state.vm("web1", writer="ana")
    shown = terminal("instance", "console", "web1")
    shown.until(b"ana is typing here. Ctrl-T takes over.")
    shown.types(b"rm -rf\r")
    shown.types(b"\x14")
    shown.until(b"Now you type here.")
    shown.types(b"ls\r")
    assert vm.wait_until(lambda: vm.typed == "ls\r")
    shown.types(b"\x1d")
    assert shown.process.wait(timeout=20) == 0


def test_who_is_taken_over_is_told(terminal: Callable[..., Terminal], state: State) -> None:
    vm = state.vm("web1")
    vm.prints(b"ready")
    first = terminal("instance", "console", "web1")
    first.until(b"ready")
    second = terminal("instance", "console", "web1")
    second.until(b"olga is typing here.")
    second.types(b"\x14")
    first.until(b"olga is typing here. Ctrl-T takes over.")
    first.types(b"lost")
    second.until(b"Now you type here.")
    second.types(b"mine")
    assert vm.wait_until(lambda: vm.typed == "mine")


def test_a_broken_console_shows_nothing_twice(terminal: Callable[..., Terminal], state: State) -> None:
    state.cut_console_after = 5000
    text = b"".join(b"%05d " % number for number in range(2000))
    state.vm("web1").prints(text)
    shown = terminal("instance", "console", "web1")
    shown.until(text[-12:])
    assert text in shown.seen
    assert len(state.sent("OPEN", "")) == 2


def test_the_state_of_the_instance_is_shown(terminal: Callable[..., Terminal], state: State) -> None:
    vm = state.vm("web1")
    vm.prints(b"ready")
    shown = terminal("instance", "console", "web1")
    shown.until(b"ready")
    vm.ends(code=0)
    shown.until(b"[web1: Stopped]")
    shown.types(b"\x1d")
    assert shown.process.wait(timeout=20) == 0


def test_a_deleted_instance_ends_the_console_with_exit_code_5(terminal: Callable[..., Terminal], state: State) -> None:
    vm = state.vm("web1")
    vm.prints(b"ready")
    state.cut_console_after = 10
    shown = terminal("instance", "console", "web1")
    shown.until(b"ready")
    del state.vms[vm.id]
    vm.prints(b"more than ten")
    assert shown.process.wait(timeout=20) == 5


def test_run_on_a_terminal_passes_lines_on_and_hears_ctrl_c(terminal: Callable[..., Terminal], state: State, elf: Path) -> None:
    def program(vm: Vm) -> None:
        vm.prints(b"name? ")
        vm.wait_until(lambda: vm.typed == "ana\n")
        vm.prints(b"hello ana")

    state.program = program
    shown = terminal("run", str(elf))
    shown.until(b"name? ")
    shown.types(b"ana\n")
    shown.until(b"hello ana")
    shown.types(b"\x03")
    shown.until(b"Stopping g; Ctrl-C again forces it off.")
    assert shown.process.wait(timeout=20) == 130
    assert state.vms == state.images == {}
