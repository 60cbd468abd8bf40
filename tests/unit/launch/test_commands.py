"""What a command does before it stops anything."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsweb.launch import commands, panel, supervisor
from opsweb.launch.errors import LaunchError
from opsweb.launch.panel import Panel


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def remembering(state: Path, port: int, now: int) -> Panel:
    (state / panel.REMEMBERED).write_text(panel.render({"OPSWEB_PORT": str(port)}))
    return Panel(state, state, state / "run", {"OPSWEB_PORT": str(now)})


def test_a_running_panel_is_not_stopped_for_a_port_that_somebody_has(tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "running", lambda panel: [])
    with pytest.raises(LaunchError, match=f"port {taken}: Address already in use"):
        commands._check_new_port(remembering(tmp_path, port=1, now=taken))


def test_its_own_port_is_in_use_by_itself(tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "running", lambda panel: [])
    commands._check_new_port(remembering(tmp_path, port=taken, now=taken))


def test_what_a_killed_supervisord_left_is_ended_before_its_port_is_asked_for(
    tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "running", lambda panel: None)
    commands._check_new_port(remembering(tmp_path, port=1, now=taken))
