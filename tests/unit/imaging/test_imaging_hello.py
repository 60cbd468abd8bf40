"""The demo image: made of our own files, always the same, with everything its page needs inside."""

from hashlib import sha256

from instances.imaging import cpio
from instances.imaging.hello import build_hello


def test_hello_is_whole_and_deterministic(tmp_path):
    report = build_hello(tmp_path / "hello.cpio")
    data = (tmp_path / "hello.cpio").read_bytes()
    members = {entry.path: entry.content for entry in cpio.read(data)}
    assert report.digest == sha256(data).hexdigest() == build_hello(tmp_path / "again.cpio").digest
    assert members[report.program.lstrip("/")].startswith(b"#!/bin/sh\n")
    assert b"-p 8080" in members["bin/hello"].replace(b'"', b"")
    assert members["bin/sh"] == members["bin/httpd"] == b"/.opsweb/busybox"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_page_loads_nothing_from_elsewhere(tmp_path):
    build_hello(tmp_path / "hello.cpio")
    page = next(entry.content for entry in cpio.read((tmp_path / "hello.cpio").read_bytes()) if entry.path == "www/index.html")
    for word in (b"http://", b"https://", b"<script", b"@import", b"url("):
        assert word not in page
