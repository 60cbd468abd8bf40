"""What people type at a guest that does not read costs a bounded amount, and never makes the watcher wait (INV-16)."""

import os
from pathlib import Path

from instances.watch.vm import type_into

PIPE_BYTES = 65_536  # pipe(7)


def test_input_that_nobody_reads_is_dropped(tmp_path: Path) -> None:
    """A paused guest takes nothing; a person with a script sends for ever."""
    pipe = tmp_path / "typed"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        for _ in range(200):
            type_into(pipe, b"x" * 8192)
        assert len(os.read(held, 10 * PIPE_BYTES)) == PIPE_BYTES
    finally:
        os.close(held)


def test_input_for_a_vm_that_is_not_there_is_dropped(tmp_path: Path) -> None:
    type_into(tmp_path / "typed", b"x")
    os.mkfifo(tmp_path / "typed")
    type_into(tmp_path / "typed", b"x")  # nobody holds its other end
    assert [path.name for path in tmp_path.iterdir()] == ["typed"]


def test_a_symlink_is_not_followed(tmp_path: Path) -> None:
    """SEC-A8."""
    (tmp_path / "secret").write_bytes(b"")
    (tmp_path / "typed").symlink_to(tmp_path / "secret")
    type_into(tmp_path / "typed", b"x")
    assert (tmp_path / "secret").read_bytes() == b""
