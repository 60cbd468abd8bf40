"""What the host tests share: a namespace of their own and a real hypervisor on short paths."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.contract.hypervisors import QemuRig, short_directory
from tests.namespaces import fresh_network, in_own_namespace, leave_shared_mounts

PROGRAMS = Path(__file__).parent / "programs"
# Of these each brings up a whole panel from this clone, and a host has one user `opsweb`: one after the other (see `real_panel`).
WHOLE_PANELS = {"test_whole_road.py", "test_bridged_road.py", "test_browser.py"}


class _ByFile(LoadScopeScheduling):
    """A file's tests share what they boot, so one process runs them all; and one process all of WHOLE_PANELS."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "whole panels" if Path(file).name in WHOLE_PANELS else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Asked when there are several processes; with `--dist loadfile` they share the files like this."""
    return _ByFile(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_sessionstart(session: pytest.Session) -> None:
    """Of several processes each has its own mounts: a test may mount a resolv.conf."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        leave_shared_mounts()


@pytest.fixture(scope="module", autouse=True)
def own_network() -> Iterator[None]:
    """Each module has a network of its own."""
    with fresh_network():
        yield


@pytest.fixture
def qemus() -> Iterator[QemuRig]:
    """Real QEMUs whose guest is the tiny one; what was started is erased afterwards."""
    in_own_namespace()
    with short_directory() as path:
        rig = QemuRig(path)
        yield rig
        rig.erase_all()


@pytest.fixture(scope="session")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The networking document's programs, built as it says: the user-mode pair g and z, the bridged pair server and client."""
    directory = tmp_path_factory.mktemp("document")
    for name in ("g", "z", "server", "client"):
        place = directory / name
        place.mkdir()
        (place / "main.go").write_text((PROGRAMS / f"{name}.go").read_text())
        environment = {**os.environ, "GO111MODULE": "off", "GOOS": "linux", "PATH": "/usr/lib/go/bin:/usr/bin:/bin", "HOME": str(directory)}
        subprocess.run(["go", "build"], cwd=place, env=environment, check=True, timeout=240)
    (directory / "z" / "etc").mkdir()
    (directory / "z" / "etc" / "hosts").write_text("10.0.2.2       bob\n")
    (directory / "z" / "config.json").write_text("{}\n")
    return directory


@pytest.fixture(scope="session")
def document_server(document: Path) -> Path:
    """The document's user-mode server, as a file to drop."""
    return document / "g" / "g"
