"""What a guest says on its status port: the words it may use, and that nothing else it writes counts."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.hypervisor.status import KEPT, MAX_PORTS, Said, epochs, parse, read

BOOT = b"init 412\nprogram 655\nport tcp 8080 1210\n"


def test_a_boot():
    assert parse(BOOT) == Said({"program": 655, "port:tcp:8080": 1210}, last_ms=1210)


def test_an_exit_code():
    said = parse(BOOT + b"exit 3 5120\npoweroff 5131\n")
    assert (said.code, said.signal, said.powering_off, said.ended) == (3, None, True, True)


def test_a_signal():
    said = parse(BOOT + b"signal 11 5120\n")
    assert (said.code, said.signal, said.ended) == (None, 11, True)


def test_poweroff_alone_is_an_end():
    assert parse(BOOT + b"poweroff 5131\n").ended


def test_the_serial_line_may_end_lines_with_cr_lf():
    assert parse(BOOT.replace(b"\n", b"\r\n")) == parse(BOOT)


@pytest.mark.parametrize("again", [b"reboot 5130\n", b"init 398\n"])
def test_a_new_boot_forgets_the_last(again):
    said = parse(BOOT + b"exit 3 5120\n" + again)
    assert (said.milestones, said.code, said.ended) == ({}, None, False)


def test_a_line_still_being_written_does_not_count():
    assert parse(b"init 412\nexit 1") == parse(b"init 412\n")
    assert parse(b"init 412\nexit 1 4") == parse(b"init 412\n")


@pytest.mark.parametrize(
    "line",
    [b"exit 256 1", b"exit -1 1", b"exit 3", b"exit 3 1 2", b" exit 3 1", b"exit  3 1", b"EXIT 3 1", b"exit 3 1x", b"exit \xd9\xa3 1",
     b"exit 3 1\0", b"exit 3 999999999999", b"signal 0 1", b"signal 65 1", b"port icmp 1 1", b"port tcp 0 1", b"port tcp 65536 1",
     b"program", b"\0" * 99],
)  # fmt: skip
def test_what_is_not_in_the_grammar_is_ignored(line):
    said = parse(line + b"\n")
    assert (said.milestones, said.code, said.signal, said.ended) == ({}, None, None, False)


def test_a_port_is_told_once_and_only_so_many_are_kept():
    assert parse(b"port tcp 8080 1\nport tcp 8080 9\n").milestones == {"port:tcp:8080": 1}
    flood = b"".join(b"port tcp %d 1\n" % port for port in range(1, 1000))
    assert len(parse(flood).milestones) == MAX_PORTS


@given(st.binary())
def test_any_bytes_are_read(data):
    said = parse(data + b"\n" + BOOT)
    assert said.last_ms == 1210


def test_of_a_long_log_both_ends_are_read_and_no_cut_line_counts(tmp_path):
    path = tmp_path / "status.log"
    filler = b"exit 9 9" * KEPT  # a cut piece of it could look like a line
    path.write_bytes(b"init 1\nprogram 2\n" + filler + b"\nexit 3 4\n")
    said, _ = read(path)
    assert (said.milestones, said.code) == ({"program": 2}, 3)


@pytest.mark.parametrize("size", [KEPT - 1, KEPT, KEPT + 1, 2 * KEPT, 2 * KEPT + 1])
def test_reading_around_the_bounds_loses_no_end(tmp_path, size):
    path = tmp_path / "status.log"
    path.write_bytes(b"program 2\n".ljust(size - 9, b"x") + b"\nexit 3 4\n"[1:].rjust(9, b"\n"))
    said, _ = read(path)
    assert said.milestones == {"program": 2}


def test_no_log_nothing_said(tmp_path):
    assert read(tmp_path / "status.log") == (Said(), None)


def test_milestones_are_tied_to_the_hosts_clock_by_the_last_line(tmp_path):
    path = tmp_path / "status.log"
    path.write_bytes(BOOT)
    os.utime(path, (1000.0, 1000.0))
    said, written = read(path)
    assert written == 1000.0
    assert epochs(said, written, started=990.0) == {"program": pytest.approx(999.445), "port:tcp:8080": pytest.approx(1000.0)}


def test_a_guest_that_lies_about_time_stays_between_start_and_now():
    said = parse(b"program 99999999\nport tcp 1 5\n")
    assert epochs(said, written=1000.0, started=990.0) == {"program": 1000.0, "port:tcp:1": 1000.0}
    assert epochs(parse(b"program 5\nport tcp 1 99999999\n"), written=1000.0, started=990.0)["program"] == 990.0
