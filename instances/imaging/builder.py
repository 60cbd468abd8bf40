"""Builds an image in a locked-in child process. Called by the worker's `build_image` task as root; tests and the fake host need none.

The parent never looks into an upload: it opens it, hands descriptors on, and takes the child's answer as hostile text.
"""

import dataclasses
import hashlib
import json
import os
import selectors
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from instances.imaging.base import BuildJob, BuildReport, ImagingError
from instances.imaging.base_archive import least_memory_mib

_ROOT = Path(__file__).parents[2]  # what the package `instances` lies in
_START = "import sys; sys.path.insert(0, sys.argv[1]); from instances.imaging.child import main; main()"
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
_ANSWER_BYTES = 256 * 1024
_GRACE_SECONDS = 5  # for Python itself to start
_MAX_ITEMS = 2000
_ROOMY_MIB = 128  # what an instance has at least, as a rule
_MAX_TEXT = 8192


def build(job: BuildJob) -> BuildReport:
    """The image at `job.output`, whole, or nothing there.

    Raises: ImagingError with the codes of `read_program`, `Resolver.resolve`, `ArchiveReader.read` and `select`, "timeout", or
    "builder_failed" when the child itself broke.
    """
    with ExitStack() as stack:
        inputs = {"program": _open_input(stack, job.program), "archive": _open_input(stack, job.archive)}
        spool = stack.enter_context(tempfile.TemporaryFile(dir=job.output.parent)).fileno()
        output, path = tempfile.mkstemp(prefix=f".{job.output.name}.", dir=job.output.parent)
        stack.callback(os.close, output)
        stack.callback(Path(path).unlink, missing_ok=True)
        answer = _run(job, {**inputs, "spool": spool, "output": output})
        report = _report(answer, output)
        os.fsync(output)
        Path(path).rename(job.output)
    return report


def _open_input(stack: ExitStack, path: Path | None) -> int | None:
    if path is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ImagingError("no_upload", f"The upload {path.name} can't be opened: {error.strerror}.") from error
    stack.callback(os.close, descriptor)
    found = os.fstat(descriptor)
    # A second name may be a file that only root may read, linked into a directory of the web process.
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise ImagingError("no_upload", f"The upload {path.name} is no regular file.")
    return descriptor


def _run(job: BuildJob, descriptors: dict[str, int | None]) -> dict[str, Any]:
    text = json.dumps(
        {
            **descriptors,
            "uid": job.uid,
            "recipe": dataclasses.asdict(job.recipe),
            "limits": dataclasses.asdict(job.limits),
            "system_library_dirs": [str(path) for path in job.system_library_dirs],
        }
    )
    child = subprocess.Popen(
        [sys.executable, "-I", "-c", _START, str(_ROOT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[descriptor for descriptor in descriptors.values() if descriptor is not None],
        start_new_session=True,
        cwd="/",
        env=_ENVIRONMENT,
    )
    try:
        said = _converse(child, text.encode(), job.limits.seconds + _GRACE_SECONDS)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE_SECONDS if len(said) <= _ANSWER_BYTES else 0)
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
    return _parse(said, child.returncode, job)


def _converse(child: subprocess.Popen[bytes], text: bytes, seconds: float) -> bytes:
    """Gives the child its job and returns what it says, up to a limit; b"" when time ran out."""
    assert child.stdin is not None
    assert child.stdout is not None
    deadline = time.monotonic() + seconds
    said = b""
    try:
        child.stdin.write(text)
        child.stdin.close()
    except BrokenPipeError:
        pass  # it ended early; its last words tell why
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while len(said) <= _ANSWER_BYTES:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise ImagingError("timeout", f"Building the image took longer than {seconds - _GRACE_SECONDS:.0f} s and was stopped.")
            chunk = os.read(child.stdout.fileno(), 65536)
            if not chunk:
                break
            said += chunk
    return said


def _parse(said: bytes, code: int, job: BuildJob) -> dict[str, Any]:
    if code == -signal.SIGXCPU:
        raise ImagingError("timeout", f"Building the image took more than {job.limits.seconds} s of CPU time and was stopped.")
    lines = said.decode("utf-8", "replace").strip().splitlines() or [""]
    try:
        answer = json.loads(lines[-1]) if code == 0 and len(said) <= _ANSWER_BYTES else None
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ImagingError("builder_failed", f"The image builder ended with status {code}: {lines[-1][:500]}")
    return answer


def _report(answer: dict[str, Any], output: int) -> BuildReport:
    """The answer as a report, or its error raised; every value is checked, digest and size are our own findings."""
    try:
        if "error" in answer:
            raise ImagingError(_text(answer["error"]["code"]), _text(answer["error"]["message"]))
        size = os.fstat(output).st_size
        return BuildReport(
            digest=_digest(output),
            size=size,
            files=int(answer["files"]),
            program=_text(answer["program"]),
            interpreter=_text(answer["interpreter"]),
            libraries=tuple(_text(path) for path in answer["libraries"][:_MAX_ITEMS]),
            hosts=tuple((_text(address), _text(name)) for address, name in answer["hosts"][:_MAX_ITEMS]),
            notes=(*_memory_note(size), *(_text(note) for note in answer["notes"][:_MAX_ITEMS])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ImagingError("builder_failed", f"The image builder gave a malformed answer ({error}).") from error


def _memory_note(size: int) -> list[str]:
    least = least_memory_mib(size)
    return [f"Instances of this image need at least {least} MiB of memory."] if least > _ROOMY_MIB else []


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} instead of text")
    return value[:_MAX_TEXT]


def _digest(descriptor: int) -> str:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()
