"""Uploads: chunks with an offset, resumed where the panel stands, cancelled when given up."""

from collections.abc import Callable
from pathlib import Path

import pytest

from opsweb.cli import uploads
from tests.unit.cli.called import ELF, Done
from tests.unit.cli.fake_state import State, refuse


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, noted and not taken."""
    taken: list[float] = []
    monkeypatch.setattr(uploads.time, "sleep", taken.append)
    monkeypatch.setattr(uploads, "SMALLEST_CHUNK", 16)
    return taken


def broken() -> None:
    """The connection breaks before the panel answers."""
    raise ConnectionResetError


def fine() -> None:
    """Nothing happens."""


def away() -> None:
    raise refuse(503, "unavailable", "The panel's database does not answer now.")


def test_a_program_arrives_whole_in_chunks(opsweb: Callable[..., Done], state: State, elf: Path) -> None:
    assert opsweb("image", "create", elf, "-i", "img").code == 0
    assert state.uploads["up-0"]["data"] == ELF
    assert [len(body) for body in state.sent("PUT", "uploads/")] == [64, 64, 64, 12]


def test_a_broken_connection_goes_on_where_the_panel_stands(
    opsweb: Callable[..., Done], state: State, elf: Path, no_pauses: list[float]
) -> None:
    state.on("PUT", fine, broken, away)
    state.on("GET uploads/", away)
    assert opsweb("image", "create", elf, "-i", "img").code == 0
    assert state.uploads["up-0"]["data"] == ELF
    assert [len(body) for body in state.sent("PUT", "uploads/")] == [64, 16, 16, 16, 16, 16, 16, 16, 16, 12]
    assert no_pauses


def test_a_chunk_that_arrived_although_its_answer_did_not_is_not_sent_twice(opsweb: Callable[..., Done], state: State, elf: Path) -> None:
    def arrives_unheard() -> None:
        state.uploads["up-0"]["data"] = ELF[:64]
        raise ConnectionResetError

    state.on("PUT", arrives_unheard)
    assert opsweb("image", "create", elf, "-i", "img").code == 0
    assert state.uploads["up-0"]["data"] == ELF


def test_another_offset_at_the_panel_is_taken_over(opsweb: Callable[..., Done], state: State, elf: Path) -> None:
    def ahead() -> None:
        state.uploads["up-0"]["data"] = ELF[:100]

    state.on("PUT", ahead)
    assert opsweb("image", "create", elf, "-i", "img").code == 0
    assert state.uploads["up-0"]["data"] == ELF


def test_a_panel_that_stays_away_is_given_up_with_exit_code_3(opsweb: Callable[..., Done], state: State, elf: Path) -> None:
    state.on("PUT", *[broken] * 20)
    done = opsweb("image", "create", elf, "-i", "img")
    assert done.code == 3
    assert state.images == {}


def test_a_refused_upload_is_cancelled_and_makes_no_image(opsweb: Callable[..., Done], state: State, elf: Path) -> None:
    def too_large() -> None:
        raise refuse(413, "too_large", "At most 10 bytes are taken.")

    state.on("PUT", too_large)
    done = opsweb("image", "create", elf, "-i", "img")
    assert done.code == 1
    assert "At most 10 bytes are taken. (too_large)" in done.err
    assert state.uploads == {}
    assert state.images == {}
