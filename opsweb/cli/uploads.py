"""Sends a file in chunks with an offset; a broken connection goes on where the panel says it stands. Used by building."""

import time
from contextlib import suppress
from typing import BinaryIO

from opsweb.cli.client import Panel, is_passing
from opsweb.cli.problems import Problem, Unreachable, Usage
from opsweb.cli.progress import Progress

DEFAULT_CHUNK = 8 * 1024**2
SMALLEST_CHUNK = 256 * 1024
ATTEMPTS = 6  # in a row without a byte of progress; with the pauses about 15 s
_STUCK = Unreachable("The panel takes the bytes and does not count them.")


def upload(panel: Panel, source: BinaryIO, size: int, filename: str) -> str:
    """Send `size` bytes of `source`; returns the upload's id. What fails or is interrupted is cancelled at the panel.

    Raises: Unreachable after ATTEMPTS, Refused ("too_large", …), Usage if the file shrinks meanwhile.
    """
    begun = panel.post("uploads/", {"filename": filename, "size": size, "team": panel.team})
    identifier = str(begun["id"])
    try:
        with Progress(f"Uploading {filename}", size) as progress:
            _Sending(panel, source, size, identifier, int(begun.get("chunk_size") or DEFAULT_CHUNK)).run(progress)
    except BaseException:
        with suppress(Problem):
            panel.delete(f"uploads/{identifier}/")
        raise
    return identifier


class _Sending:
    def __init__(self, panel: Panel, source: BinaryIO, size: int, identifier: str, chunk: int) -> None:
        self._panel, self._source, self._size, self._chunk = panel, source, size, chunk
        self._path = f"uploads/{identifier}/"

    def run(self, progress: Progress) -> None:
        received, failures = 0, 0
        while received < self._size:
            now, problem = self._attempt(received)
            failures = 0 if now > received else failures + 1
            if failures >= ATTEMPTS:
                raise problem
            if failures:
                time.sleep(0.25 * 2**failures)
            received = now
            progress.update(received)

    def _attempt(self, received: int) -> tuple[int, Problem]:
        """Send one chunk; returns where the panel stands now, and the problem to raise should that go on without progress."""
        try:
            return self._send(received), _STUCK
        except Problem as problem:
            if problem.code == "upload_offset":
                return self._standing(), problem
            if not is_passing(problem):
                raise
            # A chunk that did not get through is lost whole: smaller ones lose less on a bad line.
            self._chunk = max(self._chunk // 2, SMALLEST_CHUNK)
            return self._standing_or(received), problem

    def _send(self, received: int) -> int:
        self._source.seek(received)
        body = self._source.read(min(self._chunk, self._size - received))
        if not body:
            raise Usage("The file became shorter while it was sent.", code="file_changed")
        answer = self._panel.put(self._path, body, {"Upload-Offset": str(received), "Content-Type": "application/octet-stream"})
        return int(answer["received"])

    def _standing(self) -> int:
        return int(self._panel.get(self._path)["received"])

    def _standing_or(self, received: int) -> int:
        try:
            return self._standing()
        except Problem as problem:
            if not is_passing(problem):
                raise
            return received
