"""Work that many ask for at once is done once for all of them, and never less (networks.reconcile.turns)."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from networks.reconcile import turns
from opsweb.environment import env

DONE = env.run_dir / "guard.done"


@pytest.fixture(autouse=True)
def _nothing_done_yet() -> Iterator[None]:
    DONE.unlink(missing_ok=True)
    yield
    DONE.unlink(missing_ok=True)


def work() -> bool:
    """One turn; whether there was anything to do."""
    with turns.turn("guard") as is_ours:
        return is_ours


def test_one_after_the_other_works_each_time() -> None:
    assert [work() for _ in range(3)] == [True] * 3


def test_who_waited_while_another_began_has_it_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second asks before the first is done, the third too; the second's work serves the third."""
    inside, asked, last = threading.Event(), threading.Semaphore(0), turns._now

    def now() -> int:
        asked.release()
        return last()

    def first() -> bool:
        with turns.turn("guard") as is_ours:
            inside.set()
            for _ in range(2):
                assert asked.acquire(timeout=10)
            return is_ours

    with ThreadPoolExecutor(3) as pool:
        one = pool.submit(first)
        assert inside.wait(10)
        monkeypatch.setattr(turns, "_now", now)
        others = [pool.submit(work) for _ in range(2)]
        assert one.result(20)
        assert sorted(other.result(20) for other in others) == [False, True]


def test_work_that_failed_serves_nobody() -> None:
    with pytest.raises(ZeroDivisionError), turns.turn("guard"):
        raise ZeroDivisionError
    assert not DONE.exists()


@pytest.mark.parametrize("text", ["", "of another boot 999999999999999999", f"{turns.BOOT_ID.read_text().strip()} x"])
def test_a_mark_of_another_boot_is_none(text: str) -> None:
    """INV-19: the host's clock begins anew."""
    DONE.write_text(text)
    assert work()


def test_a_mark_from_before_we_asked_is_none(tmp_path: Path) -> None:
    assert work()
    assert turns._last(DONE) > 0
    assert work()
