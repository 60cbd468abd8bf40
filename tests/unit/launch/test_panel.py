"""Settings: what is remembered, what wins, what is refused, and that two panels share nothing."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsweb.environment import Environment
from opsweb.launch import panel, rules
from opsweb.launch.errors import LaunchError
from opsweb.launch.host import directories


def found(tmp_path: Path, **environ: str) -> panel.Panel:
    environ = {"OPSWEB_STATE_DIR": str(tmp_path / "state"), "OPSWEB_RUN_DIR": "/tmp/ow-test", **environ}
    return panel.find(tmp_path, environ, root=True, starting=True)


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose path leaves room for a socket's."""
    with tempfile.TemporaryDirectory(prefix="ow-", dir="/tmp") as name:
        yield Path(name)


def test_defaults_of_root_and_of_a_plain_user(tmp_path: Path) -> None:
    root = panel.find(tmp_path, {}, root=True, starting=True)
    assert (str(root.state), str(root.run), root.port, root.url) == ("/var/lib/opsweb", "/run/opsweb", 8000, "http://localhost:8000")
    environ = {"OPSWEB_DRIVER": "fake", "HOME": str(tmp_path)}
    own = panel.find(tmp_path, environ, root=False, starting=True)
    assert (own.state, str(own.run)) == (tmp_path / ".local/state/opsweb", f"/tmp/opsweb-{os.getuid()}")


def test_a_variable_set_now_beats_the_remembered_one() -> None:
    remembered = {"OPSWEB_PORT": "8001", "OPSWEB_ACCEL": "tcg"}
    assert panel.merge(remembered, {"OPSWEB_PORT": "8002", "HOME": "/root"}) == {"OPSWEB_PORT": "8002", "OPSWEB_ACCEL": "tcg"}


def test_a_variable_set_empty_goes_back_to_its_default() -> None:
    assert panel.merge({"OPSWEB_ACCEL": "tcg"}, {"OPSWEB_ACCEL": ""}) == {}


def test_what_is_remembered_reads_back() -> None:
    given = {"OPSWEB_PORT": "8001", "DATABASE_URL": "postgres://u:p=%40@/opsweb?a=b c"}
    assert panel.parse(panel.render(given)) == given


def test_the_settings_of_the_last_up_hold_without_being_said_again(tmp_path: Path) -> None:
    first = found(tmp_path, OPSWEB_PORT="8123")
    first.state.mkdir()
    first.remembered.write_text(panel.render(first.given))
    assert found(tmp_path).port == 8123
    assert found(tmp_path, OPSWEB_PORT="").port == 8000


def test_a_users_fake_panel_is_found_without_naming_the_driver_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panel, "SYSTEM_STATE", tmp_path / "system")  # this host may have a panel of its own
    state = tmp_path / ".local/state/opsweb"
    state.mkdir(parents=True)
    (state / "panel.env").write_text("OPSWEB_DRIVER=fake\n")
    environ = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)[:30]}
    assert panel.find(tmp_path, environ, root=False, starting=False).driver == "fake"
    assert panel.find(tmp_path, environ, root=False, starting=True).driver == "real"


@pytest.mark.parametrize(
    "environ",
    [
        {"OPSWEB_PORT": "0"},
        {"OPSWEB_PORT": "http"},
        {"OPSWEB_PORT": "٨٠٠٠"},
        {"OPSWEB_DRIVER": "qemu"},
        {"OPSWEB_HOST": "-x"},
        {"OPSWEB_RUN_DIR": "/run/" + "x" * 60},
        {"OPSWEB_RUN_DIR": "run"},
        {"OPSWEB_STATE_DIR": "/var/lib/a b"},
        {"OPSWEB_URL": "http://localhost:8000\nSECRET_KEY=x"},
        {"OPSWEB_URL": "panel.example"},
        {"OPSWEB_URL": "http://panel.example/below"},
        {"OPSWEB_BIND": "everywhere"},
        {"OPSWEB_ACCEL": "hvf"},
        {"OPSWEB_UID_BASE": "500"},
        {"OPSWEB_UID_COUNT": "0"},
        {"OPSWEB_SWEEP_SECONDS": "-3"},
        {"OPSWEB_GUEST_HOST_PORTS": "a,b"},
        {"OPSWEB_CONSOLE_KEEP_BYTES": "4M"},
        {"OPSWEB_AUDIT_DAYS": "a year"},
        {"OPSWEB_DEBUG": "2"},
        {"DATABASE_URL": "db.sqlite3"},
        {"REDIS_URL": "http://localhost"},
        {"SECRET_KEY": "short"},
    ],
)
def test_settings_that_no_part_could_start_with_are_refused(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(LaunchError) as refused:
        found(tmp_path, **environ)
    assert refused.value.code == "bad_setting"


def test_every_documented_default_and_example_is_taken(tmp_path: Path) -> None:
    examples = {
        "OPSWEB_BIND": "::1",
        "OPSWEB_URL": "https://panel.example:8443",
        "OPSWEB_UID_BASE": "800000",
        "OPSWEB_UID_COUNT": "4096",
        "OPSWEB_SWEEP_SECONDS": "15",
        "OPSWEB_GUEST_HOST_PORTS": "5432, 8125",
        "OPSWEB_CONSOLE_KEEP_BYTES": "4194304",
        "OPSWEB_AUDIT_DAYS": "365",
        "OPSWEB_DEBUG": "0",
        "DATABASE_URL": "postgres://u:p@db.example/opsweb",
        "REDIS_URL": "unix:///run/redis.sock?db=0",
        "SECRET_KEY": "k" * 50,
    }
    assert found(tmp_path, **examples).given.items() >= examples.items()


def test_a_refused_secret_is_not_repeated(tmp_path: Path) -> None:
    """SEC-J1: what the error says may end in a log."""
    for name, value in {"SECRET_KEY": "hunter2", "DATABASE_URL": "mysql://u:hunter2@db/x", "REDIS_URL": "http://:hunter2@x"}.items():
        with pytest.raises(LaunchError) as refused:
            found(tmp_path, **{name: value})
        assert "hunter2" not in refused.value.message


def test_the_rules_allow_no_number_that_the_parts_refuse(tmp_path: Path) -> None:
    """One table before there is an environment, one in it: they may not drift apart."""
    for name, (fits, _) in rules.RULES.items():
        for value in ("0", "1", "15", "16", "999", "1000", "3600", "3601", "65535", "65536", "2147483648", "2147483649"):
            if fits(value):
                Environment.model_validate({name: value, "OPSWEB_STATE_DIR": str(tmp_path)})


def test_a_second_panel_that_forgets_its_run_directory_is_refused(short: Path) -> None:
    """INV-04: it would end the first one's parts and take their sockets."""
    run = short / "run"
    run.mkdir()
    (run / panel.RUN_MARK).write_text(f"{short / 'state'}\n")
    assert found(short, OPSWEB_RUN_DIR=str(run)).run == run
    with pytest.raises(LaunchError, match=f"of the panel in {short / 'state'}"):
        found(short, OPSWEB_RUN_DIR=str(run), OPSWEB_STATE_DIR=str(short / "second"))


def test_a_panel_that_may_run_is_not_moved_to_another_run_directory(short: Path) -> None:
    """INV-01: its VMs would be looked for where they are not."""
    run = short / "run"
    first = found(short, OPSWEB_RUN_DIR=str(run))
    first.state.mkdir()
    first.remembered.write_text(panel.render(first.given))
    assert found(short, OPSWEB_RUN_DIR="/tmp/ow-moved").run == Path("/tmp/ow-moved")
    run.mkdir()
    (run / panel.RUN_MARK).write_text(str(first.state))
    with pytest.raises(LaunchError, match="make down"):
        found(short, OPSWEB_RUN_DIR="/tmp/ow-moved")


def test_a_run_directory_never_holds_the_state(short: Path) -> None:
    for run in (short / "state", short):
        with pytest.raises(LaunchError, match="OPSWEB_RUN_DIR is cleared"):
            found(short, OPSWEB_RUN_DIR=str(run))


def test_nothing_else_of_the_callers_environment_reaches_a_part(tmp_path: Path) -> None:
    """INV-11: LD_PRELOAD, PYTHONPATH and the like stay with the caller."""
    part = found(tmp_path, LD_PRELOAD="/tmp/x.so", PYTHONPATH="/tmp", OPSWEB_ACCEL="tcg").environment
    assert part["OPSWEB_ACCEL"] == "tcg"
    assert not {"LD_PRELOAD", "PYTHONPATH"} & set(part)


def test_two_panels_share_no_directory_and_no_port(tmp_path: Path) -> None:
    one = found(tmp_path / "a")
    two = found(tmp_path / "b", OPSWEB_RUN_DIR="/tmp/ow-test2", OPSWEB_PORT="8001")
    assert not {entry.path for entry in directories(one)} & {entry.path for entry in directories(two)}
    assert one.url != two.url


def test_the_launcher_passes_on_every_variable_that_the_panel_reads() -> None:
    read = {str(field.alias) for field in Environment.model_fields.values()} | {"SECRET_KEY", "SECRET_KEY_FILE"}
    assert read == set(panel.NAMES)


def test_the_documentation_has_a_row_for_every_variable(clone: Path) -> None:
    table = (clone / "docs/running.md").read_text()
    assert [name for name in panel.NAMES if f"| `{name}` |" not in table] == []


def test_a_second_up_sees_the_same_panel_as_the_first(tmp_path: Path) -> None:
    """What is remembered may come in another order; that alone restarts nothing."""
    first = found(tmp_path, OPSWEB_PORT="8123")
    first.state.mkdir()
    first.remembered.write_text(panel.render(first.given))
    assert sorted(found(tmp_path).environment.items()) == sorted(first.environment.items())
