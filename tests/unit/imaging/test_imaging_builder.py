"""The builder's child: locked in before it reads an uploaded byte, and its answer is hostile text to the parent."""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import handmade
import pytest

from instances.imaging import builder, cpio
from instances.imaging.base import BuildJob, ImagingError, Limits, Recipe

ROOT = Path(__file__).parents[3]
NOBODY = 65534  # the child's user when the tests run as root


@pytest.fixture
def job(tmp_path):
    """A build of a static program with an archive beside it."""
    (tmp_path / "g").write_bytes(handmade.elf())
    (tmp_path / "files").write_bytes(handmade.tar(("etc/hosts", b"10.0.2.2 bob\n"), mode="w:gz"))
    return BuildJob(tmp_path / "g", tmp_path / "files", Recipe("/g"), tmp_path / "out.cpio", NOBODY)


def changed(job, **changes):
    return BuildJob(**{**vars(job), **changes})


def leftovers(job):
    return {path.name for path in job.output.parent.iterdir()} - {"g", "files", "target"}


def test_an_image_is_built(job):
    report = builder.build(job)
    members = {entry.path: entry.content for entry in cpio.read(job.output.read_bytes())}
    assert members["g"] == handmade.elf()
    assert members["etc/hosts"] == b"10.0.2.2 bob\n"
    assert (report.program, report.hosts, report.size) == ("/g", (("10.0.2.2", "bob"),), job.output.stat().st_size)
    assert leftovers(job) == {"out.cpio"}


def test_the_same_inputs_give_the_same_digest(job, tmp_path):
    other = changed(job, output=tmp_path / "again.cpio")
    os.utime(job.program, (1, 1))
    assert builder.build(job).digest == builder.build(other).digest
    assert job.output.read_bytes() == other.output.read_bytes()


def test_a_refusal_leaves_nothing_behind(job):
    job.program.write_bytes(b"#!/bin/sh\n")
    with pytest.raises(ImagingError) as caught:
        builder.build(job)
    assert caught.value.code == "not_elf"
    assert leftovers(job) == set()


def test_sec_c1_an_upload_that_is_a_symlink_is_not_opened(job, tmp_path):
    (tmp_path / "target").symlink_to("/etc/passwd")
    for broken in (changed(job, program=tmp_path / "target"), changed(job, archive=tmp_path / "target")):
        with pytest.raises(ImagingError) as caught:
            builder.build(broken)
        assert caught.value.code == "no_upload"


def test_sec_b3_a_bomb_is_refused(job):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(30 * 1024**2))
    job.archive.write_bytes(buffer.getvalue())
    with pytest.raises(ImagingError) as caught:
        builder.build(changed(job, limits=Limits(unpacked_bytes=1024**2)))
    assert caught.value.code == "too_large"
    assert leftovers(job) == set()


LOCKED = """
import json, os, resource, socket, sys
sys.path.insert(0, sys.argv[1])
from instances.imaging.base import Limits
from instances.imaging.jail import lock_in
lock_in(65534, Limits(seconds=7))
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
def refused(act):
    try:
        act()
    except OSError as error:
        return type(error).__name__
print(json.dumps({
    "uids": os.getresuid(), "groups": os.getgroups(),
    "capabilities": status["CapEff"].strip(), "no_new_privs": status["NoNewPrivs"].strip(), "fork": refused(os.fork),
    "limits": [resource.getrlimit(what)[1] for what in (resource.RLIMIT_CPU, resource.RLIMIT_CORE, resource.RLIMIT_NPROC)],
    "reach": refused(lambda: socket.create_connection(("127.0.0.1", int(sys.argv[2])), 2)),
    "back": refused(lambda: os.setresuid(0, 0, 0)) if os.getuid() else "root",
}))
"""


def locked(port):
    answer = subprocess.run(
        [sys.executable, "-I", "-c", LOCKED, str(ROOT), str(port)], capture_output=True, text=True, timeout=30, check=True
    )
    return json.loads(answer.stdout)


def test_the_lock_limits_processor_time_processes_and_core_dumps():
    found = locked(1)
    assert found["limits"] == [7, 0, 0]
    assert found["no_new_privs"] == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give privileges up")
def test_inv_10_the_lock_gives_up_root_and_network(listener_port):
    found = locked(listener_port)
    assert found["uids"] == [NOBODY] * 3
    assert found["groups"] == []
    assert int(found["capabilities"], 16) == 0
    assert found["fork"] == "BlockingIOError"
    assert found["back"] == "PermissionError"
    assert found["reach"] == "OSError"  # a listener of the host's loopback is out of reach: network unreachable


def fake_child(monkeypatch, code):
    """Puts another program in the child's place."""
    monkeypatch.setattr(builder, "_START", code)


def test_a_child_that_never_ends_is_killed(job, monkeypatch):
    fake_child(monkeypatch, "import time; time.sleep(60)")
    monkeypatch.setattr(builder, "_GRACE_SECONDS", 0)
    with pytest.raises(ImagingError) as caught:
        builder.build(changed(job, limits=Limits(seconds=1)))
    assert caught.value.code == "timeout"
    assert leftovers(job) == set()


@pytest.mark.parametrize(
    "code",
    [
        "print('x' * 10_000_000)",
        "print('{}')",
        "print('[1]')",
        'print(\'{"error": {"code": 1, "message": []}}\')',
        "print('{\"error\": 7}')",
        'print(\'{"files": [], "program": 1}\')',
        "raise SystemExit(3)",
        "import os; os.kill(os.getpid(), 9)",
    ],
)
def test_a_child_gone_wrong_is_an_error_and_no_image(code, job, monkeypatch):
    fake_child(monkeypatch, code)
    with pytest.raises(ImagingError) as caught:
        builder.build(job)
    assert caught.value.code == "builder_failed"
    assert leftovers(job) == set()


def test_the_digest_is_the_parents_own_finding(job, monkeypatch):
    said = {"files": 1, "program": "/g", "interpreter": "", "libraries": [], "hosts": [], "notes": [], "digest": "0" * 64, "size": 5}
    fake_child(monkeypatch, f"print({json.dumps(json.dumps(said))})")
    report = builder.build(job)
    assert report.digest == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert report.size == 0


def test_a_large_image_says_how_much_memory_it_needs(job):
    assert builder.build(job).notes == ()
    job.archive.write_bytes(handmade.tar(("big", bytes(40 * 1024**2)), mode="w:gz"))
    assert builder.build(job).notes == ("Instances of this image need at least 187 MiB of memory.",)


def test_a_second_name_of_a_file_is_not_read(job, tmp_path):
    """SEC-C1: root opens the upload; the web process may have linked another file of the host into its place."""
    os.link(tmp_path / "g", tmp_path / "elsewhere")
    with pytest.raises(ImagingError) as caught:
        builder.build(job)
    assert caught.value.code == "no_upload"
