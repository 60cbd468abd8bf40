"""The console log as a file: addresses stay, the disk is bounded (INV-16, SEC-A8)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from instances.console import Window
from instances.watch.log import ENDS_KEPT, ConsoleLog, bound_log

KEEP = 64 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An empty log."""
    file = tmp_path / "console.log"
    file.touch()
    return file


@pytest.fixture
def log(path: Path) -> Iterator[ConsoleLog]:
    """The log, open."""
    opened = ConsoleLog(path, KEEP)
    yield opened
    opened.close()


def grow(path: Path, data: bytes) -> None:
    """What QEMU does."""
    with path.open("ab") as file:
        file.write(data)


def test_an_empty_log_keeps_nothing(log: ConsoleLog) -> None:
    assert log.window == Window(0, 0)
    assert log.read(0, 100).data == b""


def test_reads_from_any_offset(path: Path, log: ConsoleLog) -> None:
    grow(path, b"hello world")
    assert log.read(6, 100).data == b"world"
    assert log.read(6, 3).data == b"wor"
    assert log.read(11, 100).data == b""


def test_the_oldest_bytes_go_and_the_addresses_of_the_others_stay(path: Path, log: ConsoleLog) -> None:
    """INV-16: a guest that floods its console takes a fixed amount of disk."""
    for number in range(64):
        grow(path, bytes([number]) * 8192)
        log.trim()
    size = path.stat().st_size
    assert size == 64 * 8192
    assert path.stat().st_blocks * 512 <= 2 * KEEP + 8192
    assert size - log.start >= KEEP
    assert log.read(size - 8192, 8192).data == bytes([63]) * 8192
    assert log.read(0, 10).start == log.start


def test_a_trimmed_log_opened_anew_knows_where_it_begins(path: Path, log: ConsoleLog) -> None:
    grow(path, b"x" * (5 * KEEP))
    log.trim()
    again = ConsoleLog(path, KEEP)
    assert again.window == log.window
    again.close()


def test_a_symlink_is_not_followed(tmp_path: Path) -> None:
    """SEC-A8."""
    target = tmp_path / "secret"
    target.write_text("secret")
    (tmp_path / "console.log").symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        ConsoleLog(tmp_path / "console.log", KEEP)


def test_a_removed_log_is_seen(path: Path, log: ConsoleLog) -> None:
    assert not log.is_gone
    path.unlink()
    assert log.is_gone


def test_a_flooded_status_log_keeps_its_first_and_last_bytes(tmp_path: Path) -> None:
    """INV-16: the second serial port is the guest's as well."""
    status = tmp_path / "status.log"
    status.write_bytes(b"program 500\n" + b"x" * (20 * ENDS_KEPT) + b"\nexit 3 900\n")
    bound_log(status)
    content = status.read_bytes()
    assert content.startswith(b"program 500\n")
    assert content.endswith(b"\nexit 3 900\n")
    assert status.stat().st_blocks * 512 <= 3 * ENDS_KEPT


def test_a_status_log_that_is_not_there_is_fine(tmp_path: Path) -> None:
    bound_log(tmp_path / "status.log")
    assert not (tmp_path / "status.log").exists()
