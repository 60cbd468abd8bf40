"""What a fake VM does as time passes, on a clock of the test's."""

from pathlib import Path
from uuid import uuid4

import pytest

from instances.hypervisor import fake_guest
from instances.hypervisor.base import Exit, ExitReason, Forward, Machine, Power, UserNic
from instances.hypervisor.fake_guest import Guest, advance

NOW = 1000.0


def guest(cmdline: str = "", *parts: bytes, paused: bool = False) -> Guest:
    nic = UserNic("52:54:00:00:00:01", forwards=(Forward("tcp", "127.0.0.1", 18080, 8080),))
    machine = Machine(uuid4(), "web", 800001, 1, 128, Path("/k"), (Path("/image"), *parts), cmdline, (nic,), paused=paused)
    return fake_guest.booted(machine, "b007", 5_000_001, NOW)


def test_it_boots_in_steps():
    early, text = advance(guest(), NOW + 0.15)
    assert early.milestones == {}
    assert b"Linux version" in text
    late, text = advance(early, NOW + 0.5)
    assert late.milestones == {"program": pytest.approx(NOW + 0.2), "port:tcp:8080": pytest.approx(NOW + 0.3)}
    assert b"Hello from web." in text
    assert b"Linux version" not in text, "a line is printed once"


def test_looking_often_or_once_comes_to_the_same():
    often, printed = guest("--exit-after=1 --exit-code=3"), b""
    for step in range(200):
        often, text = advance(often, NOW + step / 100)
        printed += text
    once, text = advance(guest("--exit-after=1 --exit-code=3"), NOW + 2)
    assert printed == text
    assert (often.power, often.exit) == (once.power, once.exit) == (Power.STOPPED, Exit(ExitReason.GUEST, 3))


def test_what_is_typed_is_echoed_once():
    booted, _ = advance(guest(), NOW + 1)
    echoed, text = advance(booted, NOW + 1.1, b"ls\r")
    assert text == b"ls\r\n"
    assert echoed.typed == 3


def test_its_clock_stands_while_it_is_paused():
    paused = fake_guest.frozen(guest(), NOW + 0.1)
    assert advance(paused, NOW + 100) == (paused, b"")
    resumed, _ = advance(fake_guest.thawed(paused, NOW + 100), NOW + 100.15)
    assert resumed.milestones == {"program": pytest.approx(NOW + 100.1)}


def test_started_paused_it_waits():
    waiting, text = advance(guest(paused=True), NOW + 9)
    assert (waiting.power, text) == (Power.PAUSED, b"")


@pytest.mark.parametrize(
    ("options", "power", "facts"),
    [
        ("--exit-after=0.5", Power.STOPPED, Exit(ExitReason.GUEST, 0)),
        ("--exit-code=3", Power.STOPPED, Exit(ExitReason.GUEST, 3)),
        ("--exit-signal=11", Power.STOPPED, Exit(ExitReason.GUEST, None, 11)),
    ],
)
def test_programs_that_end_by_themselves(options, power, facts):
    ended, text = advance(guest(options), NOW + 2)
    assert (ended.power, ended.exit) == (power, facts)
    assert b"Power down" in text
    assert ended.pid, "QEMU stays, with the facts, until it is killed"


def test_the_options_may_be_in_the_instances_archive():
    assert advance(guest("", b"\0\0--exit-code=4\0"), NOW + 2)[0].exit == Exit(ExitReason.GUEST, 4)


def test_a_crash():
    crashed, text = advance(guest("--crash-after=0.1"), NOW + 2)
    assert crashed.power is Power.CRASHED
    assert crashed.exit.reason is ExitReason.CRASH
    assert crashed.exit.message
    assert b"Power down" not in text


def test_the_power_button():
    asked = fake_guest.pressed(advance(guest(), NOW + 1)[0], NOW + 1)
    assert advance(asked, NOW + 1.1)[0].power is Power.RUNNING
    assert advance(asked, NOW + 1.3)[0].exit == Exit(ExitReason.REQUEST)


def test_a_guest_that_ignores_the_power_button():
    asked = fake_guest.pressed(advance(guest("--ignore-powerdown"), NOW + 1)[0], NOW + 1)
    assert advance(asked, NOW + 60)[0].power is Power.RUNNING


def test_a_reset_boots_again():
    again, text = advance(fake_guest.rebooted(advance(guest(), NOW + 1)[0], NOW + 5), NOW + 5.25)
    assert again.milestones == {"program": pytest.approx(NOW + 5.2)}
    assert b"Linux version" in text


def test_it_listens_on_what_its_init_is_told_to_watch():
    late, text = advance(guest("", b"hostname='web'\nports='tcp:1F90:8080 udp:0035:53'\nset -- 'x'\n"), NOW + 0.5)
    assert {"port:tcp:8080", "port:udp:53"} <= late.milestones.keys()
    assert b"Listening on udp port 53." in text
