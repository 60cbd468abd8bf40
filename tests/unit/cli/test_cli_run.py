"""`opsweb run`: from a file to a running instance and back, with the program's exit code, whatever ends it."""

import os
import pty
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli.called import ELF, Done
from tests.unit.cli.fake_state import State, Vm

Opsweb = Callable[..., Done]
Spawn = Callable[..., "subprocess.Popen[bytes]"]


def prints_and_ends(data: bytes, **how: int) -> Callable[[Vm], None]:
    def program(vm: Vm) -> None:
        vm.prints(data)
        vm.ends(**how)

    return program


def read_until(process: "subprocess.Popen[bytes]", wanted: bytes) -> bytes:
    assert process.stdout
    seen = b""
    while wanted not in seen:
        more = os.read(process.stdout.fileno(), 4096)
        assert more, seen
        seen += more
    return seen


@pytest.mark.parametrize(("how", "code"), [({"code": 0}, 0), ({"code": 3}, 3), ({"code": 255}, 255), ({"signal": 11}, 139), ({}, 1)])
def test_the_programs_end_is_the_commands_end(opsweb: Opsweb, state: State, elf: Path, how: dict[str, int], code: int) -> None:
    state.program = prints_and_ends(b"Welcome\r\n\x00\xff", **how)
    done = opsweb("run", "-p", "8080", elf)
    assert done.code == code
    assert done.out == b"Welcome\r\n\x00\xff"
    assert state.vms == {}
    assert state.images == {}
    assert state.uploads["up-0"]["data"] == ELF


def test_the_request_carries_name_flags_and_no_restart(opsweb: Opsweb, state: State, elf: Path) -> None:
    state.program = prints_and_ends(b"", code=0)
    opsweb("run", "-p", "8080", "-i", "web1", "-m", "512m", "-a", "-x", elf)
    [body] = state.sent("POST", "instances/")
    assert (body["name"], body["ports"], body["memory_mib"], body["args"]) == ("web1", ["8080"], 512, ["-x"])
    assert (body["restart_policy"], body["autostart"]) == ("never", False)


def test_a_second_run_of_the_same_program_gets_a_name_of_its_own(opsweb: Opsweb, state: State, elf: Path) -> None:
    state.vm("g")
    state.program = prints_and_ends(b"", code=0)
    assert opsweb("run", elf).code == 0
    first, second = (body["name"] for body in state.sent("POST", "instances/"))
    assert first == "g"
    assert second.startswith("g-")
    assert opsweb("run", "-i", "g", elf).code == 1


def test_a_long_flood_arrives_whole_and_acknowledged(opsweb: Opsweb, state: State, elf: Path) -> None:
    flood = bytes(range(256)) * 8192
    state.program = prints_and_ends(flood, code=0)
    done = opsweb("run", elf)
    assert done.out == flood


def test_a_broken_console_goes_on_where_it_was(opsweb: Opsweb, state: State, elf: Path) -> None:
    text = b"".join(b"line %d\n" % number for number in range(4000))
    state.cut_console_after = 20_000
    state.program = prints_and_ends(text[:30_000])
    state.program = lambda vm: (vm.prints(text), vm.wait_until(lambda: len(state.sent("OPEN", vm.id)) > 1), vm.ends(code=0))[0]
    done = opsweb("run", elf)
    assert done.out == text
    assert [opened["from"] for opened in state.sent("OPEN", "")][0] == 0
    assert state.sent("OPEN", "")[1]["from"] > 0


def test_a_panel_that_restarts_is_outlasted(opsweb: Opsweb, state: State, elf: Path) -> None:
    def cut() -> None:
        raise ConnectionResetError

    def program(vm: Vm) -> None:
        state.on(f"GET instances/{vm.id}", cut, cut, cut)
        vm.prints(b"on and on")
        vm.wait_until(lambda: not state.hooks)
        vm.ends(code=7)

    state.program = program
    done = opsweb("run", elf)
    assert (done.code, done.out) == (7, b"on and on")


def test_detached_it_stays_and_tells_where_it_is(opsweb: Opsweb, state: State, elf: Path) -> None:
    done = opsweb("run", "-d", "-i", "web1", "-p", "18081:8080", elf)
    assert done.code == 0
    assert b"web1: Running" in done.out
    assert b"http://127.0.0.1:18081/" in done.out
    assert [vm.body["name"] for vm in state.vms.values()] == ["web1"]
    assert len(state.images) == 1
    assert "restart_policy" not in state.sent("POST", "instances/")[0]


def test_the_same_program_is_not_uploaded_again_while_its_image_is_there(opsweb: Opsweb, state: State, elf: Path) -> None:
    opsweb("run", "-d", "-i", "one", elf)
    opsweb("run", "-d", "-i", "two", elf)
    assert len(state.images) == len(state.uploads) == 1
    elf.write_bytes(ELF + b"more")
    opsweb("run", "-d", "-i", "three", elf)
    assert len(state.images) == 2


def test_an_image_of_somebody_else_is_not_trusted_by_its_name(opsweb: Opsweb, state: State, elf: Path) -> None:
    opsweb("run", "-d", "-i", "one", elf)
    next(iter(state.images.values()))["created_by"] = "vic"
    opsweb("run", "-d", "-i", "two", elf)
    assert len(state.images) == 2


def test_json_is_the_instance_as_it_ended_and_the_console_goes_to_stderr(opsweb: Opsweb, state: State, elf: Path) -> None:
    state.program = prints_and_ends(b"Welcome\n", code=3)
    done = opsweb("run", "--json", elf)
    assert done.code == 3
    assert done.json["exit"]["code"] == 3
    assert "Welcome" in done.err


def test_a_start_that_fails_leaves_nothing(opsweb: Opsweb, state: State, elf: Path) -> None:
    state.start_error = "Port 8080 is busy."
    done = opsweb("run", elf)
    assert done.code == 1
    assert "Port 8080 is busy." in done.err
    assert state.vms == state.images == {}


def test_a_refused_instance_leaves_no_image(opsweb: Opsweb, state: State, elf: Path) -> None:
    assert opsweb("run", "-p", "1", elf).code == 1
    assert state.images == {}


def test_an_instance_that_somebody_deletes_is_exit_code_5(opsweb: Opsweb, state: State, elf: Path) -> None:
    def program(vm: Vm) -> None:
        vm.wait_until(lambda: bool(state.sent("OPEN", vm.id)))
        with vm.changed:
            del state.vms[vm.id]
            vm.changed.notify_all()

    state.program = program
    assert opsweb("run", elf).code == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_asks_the_guest_to_end_and_removes_everything(spawn: Spawn, state: State, elf: Path, number: int) -> None:
    verbs: list[str] = []

    def program(vm: Vm) -> None:
        vm.verbs, vm.stops_at_verb = verbs, False
        vm.prints(b"ready\n")
        vm.wait_until(lambda: "stop" in vm.verbs)
        vm.prints(b"bye\n")
        vm.ends(code=0)

    state.program = program
    process = spawn("run", elf)
    read_until(process, b"ready")
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert out.endswith(b"bye\n")
    assert b"Stopping g" in err
    assert verbs == ["stop"]
    assert state.vms == state.images == {}


def test_a_second_ctrl_c_forces_it(spawn: Spawn, state: State, elf: Path) -> None:
    def program(vm: Vm) -> None:
        vm.stops_at_verb = False
        vm.prints(b"ready\n")

    state.program = program
    process = spawn("run", elf)
    read_until(process, b"ready")
    [vm] = state.vms.values()
    process.send_signal(signal.SIGINT)
    assert vm.wait_until(lambda: "stop" in vm.verbs)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert state.vms == state.images == {}


def test_ctrl_c_while_it_uploads_cancels_the_upload(spawn: Spawn, state: State, elf: Path) -> None:
    state.on("PUT", lambda: None, lambda: process.send_signal(signal.SIGINT))
    elf.write_bytes(ELF * 100)
    process = spawn("run", elf)
    assert process.wait(timeout=20) == 130
    assert state.uploads == state.images == {}


@pytest.mark.parametrize("request_line", ["POST images/", "POST instances/"])
def test_what_is_made_while_ctrl_c_is_pressed_is_known_and_removed(spawn: Spawn, state: State, elf: Path, request_line: str) -> None:
    state.on(request_line, lambda: process.send_signal(signal.SIGINT))
    process = spawn("run", elf)
    assert process.wait(timeout=20) == 130
    assert state.sent("DELETE", "images/")
    assert state.vms == state.images == {}


def test_nobody_reads_on_is_as_ctrl_c(spawn: Spawn, state: State, elf: Path) -> None:
    def program(vm: Vm) -> None:
        vm.prints(b"ready\n")
        vm.wait_until(lambda: bool(state.requests[-1:]) and process.stdout is not None and process.stdout.closed)
        while vm.id in state.vms:
            vm.prints(b"more\n" * 100)
            vm.wait_until(lambda: vm.id not in state.vms, 0.05)

    state.program = program
    process = spawn("run", elf)
    read_until(process, b"ready")
    assert process.stdout
    process.stdout.close()
    state.vm("other").prints(b"")
    assert process.wait(timeout=20) == 130
    assert [vm.body["name"] for vm in state.vms.values()] == ["other"]


def test_lines_typed_here_reach_the_guest(spawn: Spawn, state: State, elf: Path) -> None:
    def program(vm: Vm) -> None:
        vm.listens(1)
        vm.prints(b"name? ")
        vm.wait_until(lambda: "ana\n" in vm.typed)
        vm.prints(b"hello ana\n")
        vm.ends(code=0)

    state.program = program
    process = spawn("run", elf, stdin=subprocess.PIPE)
    read_until(process, b"name? ")
    assert process.stdin
    process.stdin.write(b"ana\n")
    process.stdin.flush()
    read_until(process, b"hello ana")
    assert process.wait(timeout=20) == 0


def test_a_progress_bar_is_for_terminals_only(spawn: Spawn, state: State, elf: Path) -> None:
    ours, theirs = pty.openpty()
    state.program = prints_and_ends(b"", code=0)
    process = spawn("run", elf, stderr=theirs)
    os.close(theirs)
    assert process.wait(timeout=20) == 0
    seen = os.read(ours, 65536)
    os.close(ours)
    assert b"Uploading g [####" in seen
