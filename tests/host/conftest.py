"""What the host tests share: a namespace of their own and a real hypervisor on short paths."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.hypervisors import QemuRig, short_directory
from tests.namespaces import fresh_network, in_own_namespace

PROGRAMS = Path(__file__).parent / "programs"


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
