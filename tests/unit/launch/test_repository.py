"""Promises about files at the top of the repository: versions, lock files, front-end licences, the compose file."""

import ast
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from opsweb.launch import vendor

LOCKS = ("requirements.lock", "tests/requirements.lock", "opsweb/launch/node.lock")


def test_the_changelogs_newest_version_is_the_projects(clone: Path) -> None:
    newest = re.search(r"^## v(\d+\.\d+\.\d+)", (clone / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest
    assert newest[1] == tomllib.loads((clone / "pyproject.toml").read_text())["project"]["version"]


@pytest.mark.parametrize("lock", LOCKS)
def test_python_locks_pin_by_hash_and_name_no_address(clone: Path, lock: str) -> None:
    text = (clone / lock).read_text()
    pinned = re.split(r"\n(?=[a-z0-9])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).strip())
    assert pinned
    assert [entry for entry in pinned if "==" not in entry.splitlines()[0] or "--hash=sha256:" not in entry] == []
    assert "://" not in text


def test_the_front_end_lock_pins_by_hash_and_names_no_download(clone: Path) -> None:
    packages = json.loads((clone / "package-lock.json").read_text())["packages"]
    assert [name for name, entry in packages.items() if name and "integrity" not in entry] == []
    assert [name for name, entry in packages.items() if "resolved" in entry] == []


def test_front_end_versions_are_exact(clone: Path) -> None:
    wanted = json.loads((clone / "package.json").read_text())
    versions = {**wanted["dependencies"], **wanted["devDependencies"]}
    assert [name for name, version in versions.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)] == []


def test_every_front_end_directory_has_a_licence_beside_its_files(clone: Path) -> None:
    names = [*vendor.FILES.values(), *vendor.LICENCES.values()]
    for directory in {name.split("/")[0] for name in names}:
        assert any(name.startswith(f"{directory}/LICENSE") for name in names)
    assert all((clone / vendor.OWN_LICENCES / name).is_file() for name in vendor.LICENCES)


def test_every_front_end_package_is_used(clone: Path) -> None:
    wanted = json.loads((clone / "package.json").read_text())["dependencies"]
    assert [name for name in wanted if not any(file.startswith(f"{name}/") for file in vendor.FILES)] == []


def test_pages_load_exactly_what_is_vendored(clone: Path) -> None:
    sources = [*clone.glob("templates/**/*.html"), *clone.glob("static/js/**/*.js"), *clone.glob("static/css/**/*.css")]
    loaded = {name for file in sources for name in re.findall(r"vendor/([\w./-]+\.(?:m?js|css))", file.read_text())}
    assert loaded == {name for name in vendor.FILES.values() if not name.rpartition("/")[2].startswith("LICENSE")}


@pytest.mark.parametrize(("text", "major"), [("11.19.1\n", 11), ("9.2.0", 9), ("", 0), ("command not found", 0)])
def test_npm_version(text: str, major: int) -> None:
    assert vendor.npm_version(text) == major


def test_the_compose_file_keeps_redis_and_the_web_off_the_network(clone: Path) -> None:
    """INV-12: redis is the door to a root process; the web has no capability."""
    services = yaml.safe_load((clone / "docker-compose.yml").read_text())["services"]
    assert {"redis", "web", "worker", "watcher", "beat"} <= set(services)
    assert "ports" not in services["redis"]
    assert all(str(port).startswith("127.0.0.1:") for port in services["web"].get("ports", []))
    for name in ("web", "watcher", "beat", "redis"):
        assert "privileged" not in services[name]
        assert "cap_add" not in services[name]
        assert services[name].get("user", "") != "root"


def test_the_launcher_runs_before_there_is_an_environment(clone: Path) -> None:
    """It imports the standard library and itself, nothing else."""
    allowed = {*sys.stdlib_module_names, "opsweb.launch"}
    for file in (clone / "opsweb/launch").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in allowed or ".".join(name.split(".")[:2]) in allowed, f"{file.name} imports {name}"
