"""The demo program `hello`: a small web page served from inside a VM, made of our own files alone. Built in-process by the worker."""

import hashlib
from pathlib import Path
from typing import Final

from instances.imaging import cpio
from instances.imaging.base import BuildReport
from instances.imaging.base_archive import GUEST_FILES
from instances.imaging.image import default_entries

PORT: Final = 8080  # in the guest
PROGRAM: Final = "/bin/hello"


def build_hello(output: Path) -> BuildReport:
    """The image at `output`, whole or not at all. Nothing uploaded goes into it, so no child is needed."""
    entries = cpio.with_parents(hello_entries())
    data = b"".join(cpio.write(entries))
    fresh = output.with_name(f".{output.name}.new")
    fresh.write_bytes(data)
    fresh.replace(output)
    digest = hashlib.sha256(data).hexdigest()
    return BuildReport(digest, len(data), len(entries), PROGRAM, "", (), (), ())


def hello_entries() -> list[cpio.Entry]:
    """Its members: a start script for busybox's httpd, the page, and the usual applets."""
    start = (GUEST_FILES / "hello/start").read_text().replace("$PORT", str(PORT))
    page = (GUEST_FILES / "hello/index.html").read_bytes()
    return [*default_entries(), cpio.regular(PROGRAM.lstrip("/"), start.encode(), 0o755), cpio.regular("www/index.html", page)]
