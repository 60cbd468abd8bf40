"""The command line itself: OPS's flags, values that make no sense, and flags whose time has not come."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from opsweb.cli.arguments import POWER, parse, wants_json
from opsweb.cli.problems import Usage
from opsweb.cli.values import duration, memory
from tests.unit.cli.called import CLONE, Done
from tests.unit.cli.fake_state import State

DOCUMENT = (CLONE / "docs" / "cli.md").read_text()


@pytest.mark.parametrize(
    ("text", "mib"), [("256", 256), ("256m", 256), ("512M", 512), ("1g", 1024), ("2GiB", 2048), ("64mb", 64), ("1t", 1024**2)]
)
def test_memory_is_mib_unless_it_says_otherwise(text: str, mib: int) -> None:
    assert memory(text) == mib


@pytest.mark.parametrize(
    "flags", [["-m", "lots"], ["-m", "0"], ["-m", "-5m"], ["--smp", "0"], ["--smp", "two"], ["-e", "KEY"], ["-e", "=x"], ["--frob"]]
)
def test_values_that_make_no_sense_are_refused_before_anything_is_sent(opsweb: Callable[..., Done], state: State, flags: list[str]) -> None:
    done = opsweb("run", *flags, "./g")
    assert done.code == 2
    assert state.requests == []


def test_ops_flags_are_taken_as_ops_takes_them() -> None:
    args = parse(
        [
            "run",
            "-p",
            "8080",
            "-p",
            "80,443",
            "--udp",
            "53",
            "-a",
            "--verbose",
            "-a",
            "x y",
            "-e",
            "A=b=c",
            "-m",
            "1g",
            "--smp",
            "2",
            "-d",
            "g",
        ]
    )
    assert (args.port, args.udp, args.args) == (["8080", "80,443"], ["53"], ["--verbose", "x y"])
    assert (args.env, args.memory, args.smp, args.detach, args.elf) == ([("A", "b=c")], 1024, 2, True, "g")


def test_an_argument_of_the_program_is_not_a_flag_of_ours() -> None:
    assert parse(["run", "-a", "--json", "g"]).args == ["--json"]
    assert not wants_json(["run", "-a", "--json", "g"])


def test_no_flag_may_be_shortened_so_that_scripts_keep_their_meaning() -> None:
    with pytest.raises(Usage):
        parse(["run", "--det", "g"])


def test_ops_flags_for_bridges_are_taken_as_ops_takes_them() -> None:
    """In `run`, -t is the tap; in `instance create` it is the target."""
    args = parse(["run", "server", "-p", "8081", "-b", "-t", "tap0", "--ip-address", "192.168.42.19"])
    assert (args.elf, args.port, args.bridged, args.tap_name, args.ip_address) == ("server", ["8081"], True, "tap0", "192.168.42.19")
    args = parse(["run", "client", "-a", "192.168.42.19:8081", "-b", "-t", "tap1", "--ip-address", "192.168.42.20"])
    assert (args.elf, args.args, args.tap_name) == ("client", ["192.168.42.19:8081"], "tap1")
    args = parse(["instance", "create", "-t", "onprem", "--bridged", "--tap", "tap0", "--bridgename", "br1", "img"])
    assert (args.target, args.bridged, args.tap_name, args.bridge_name) == ("onprem", True, "tap0", "br1")


@pytest.mark.parametrize(("text", "seconds"), [("3600", 3600), ("90s", 90), ("30m", 1800), ("12H", 43_200), ("7d", 604_800)])
def test_a_time_is_in_seconds_unless_it_says_otherwise(text: str, seconds: int) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "flags", [["--lease", "soon"], ["--lease", "0"], ["--mtu", "-1"], ["--record", "db"], ["--mode", "wild"], ["--dhcp-range", "10.0.0.1"]]
)
def test_values_of_networks_that_make_no_sense_are_refused_before_anything_is_sent(
    opsweb: Callable[..., Done], state: State, flags: list[str]
) -> None:
    assert opsweb("network", "create", *flags).code == 2
    assert state.requests == []


def test_a_usage_problem_is_one_json_document_too(opsweb: Callable[..., Done]) -> None:
    done = opsweb("--json", "instance", "frob")
    assert done.code == 2
    assert done.json["code"] == "usage"


def test_flags_of_all_commands_stand_before_or_after_the_command() -> None:
    for argv in (
        ["--json", "--team", "blue", "instance", "list"],
        ["instance", "--json", "list", "--team", "blue"],
        ["instance", "list", "--json", "--team", "blue"],
    ):
        args = parse(argv)
        assert args.json
        assert args.team == "blue"


def test_the_command_imports_nothing_but_its_two_libraries() -> None:
    code = "import sys, opsweb.cli.main; print('\\n'.join(sorted({name.split('.')[0] for name in sys.modules})))"
    found = subprocess.run([sys.executable, "-c", code], cwd=CLONE, capture_output=True, text=True, check=True).stdout.split()
    assert not {"django", "ninja", "celery", "redis", "channels", "instances", "networks", "pydantic"} & set(found)
    assert {"httpx", "websockets"} <= set(found)


def test_every_module_of_the_command_is_in_the_package_that_is_installed() -> None:
    project = (CLONE / "pyproject.toml").read_text()
    packages = json.loads(re.search(r"^packages = (\[.*\])$", project, re.MULTILINE)[1])  # type: ignore[index]
    folders = {path.parent.relative_to(CLONE) for path in (CLONE / "opsweb" / "cli").rglob("*.py")}
    assert {str(folder).replace("/", ".") for folder in folders} <= set(packages)


@pytest.mark.parametrize(
    "command",
    ["run", "me", "version", "operation list", "operation show", *(f"image {verb}" for verb in ("create", "list", "show", "delete")),
     *(f"network {verb}" for verb in ("create", "list", "show", "edit", "delete", "repair", "leases", "rules")),
     *(f"instance {verb}" for verb in ("create", "list", "show", "delete", "logs", "console", "wait", *POWER))],
)  # fmt: skip
def test_every_command_is_there_and_in_the_document(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse([*command.split(), "--help"])
    flags = re.findall(r"(?<![\w-])--[a-z-]+", capsys.readouterr().out)
    assert f"opsweb {command}" in DOCUMENT
    assert [flag for flag in flags if flag not in DOCUMENT] == []


def test_the_installed_command_and_the_module_are_the_same(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "opsweb.cli", "version", "--json"], cwd=CLONE, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["version"] == tomllib.loads((CLONE / "pyproject.toml").read_text())["project"]["version"]
