"""The panel's processes as text, and what supervisor itself makes of it."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from opsweb.launch import parts
from opsweb.launch.panel import Panel

PYTHON = Path("/srv/opsweb/.venv/bin/python")
CODE = Path("/srv/opsweb")
PanelOf = Callable[..., Panel]


def conf(panel: Panel, user: str, python: Path = PYTHON) -> str:
    return parts.supervisord_conf(panel, CODE, parts.parts(panel, python, workers=2), user=user, minfds=4096)


def test_golden_supervisord_conf_of_root(panel: PanelOf, golden: Callable[[str, str], None]) -> None:
    golden("supervisord.conf", conf(panel(), "opsweb"))


def test_golden_supervisord_conf_of_a_fake_panel(panel: PanelOf, golden: Callable[[str, str], None]) -> None:
    golden("supervisord-fake.conf", conf(panel(OPSWEB_DRIVER="fake", OPSWEB_PORT="8001", OPSWEB_URL="https://panel.example"), ""))


def test_golden_redis_conf(panel: PanelOf, golden: Callable[[str, str], None]) -> None:
    golden("redis.conf", parts.redis_conf(panel()))


def test_inv_12_only_the_worker_is_root(panel: PanelOf) -> None:
    """INV-12: web, watcher, beat and redis never run as root."""
    shown = parts.parts(panel(), PYTHON, workers=2)
    assert [part.name for part in shown if part.root] == ["worker"]
    users = [line for line in conf(panel(), "opsweb").splitlines() if line.startswith("user=")]
    assert users == ["user=root", *["user=opsweb"] * 4]  # supervisord's own, then all but the worker


def test_a_fake_panel_has_no_root_at_all(panel: PanelOf) -> None:
    assert not any(part.root for part in parts.parts(panel(OPSWEB_DRIVER="fake"), PYTHON, workers=2))
    assert "user=" not in conf(panel(OPSWEB_DRIVER="fake"), "")


def test_a_foreign_redis_is_not_started(panel: PanelOf) -> None:
    names = [part.name for part in parts.parts(panel(REDIS_URL="rediss://:p@redis.example/0"), PYTHON, workers=2)]
    assert names == ["web", "worker", "watcher", "beat"]


def test_redis_listens_on_no_port(panel: PanelOf) -> None:
    lines = parts.redis_conf(panel()).splitlines()
    assert "port 0" in lines
    assert not any(line.startswith("bind") for line in lines)


def test_proxy_headers_are_trusted_behind_tls_only(panel: PanelOf) -> None:
    assert "--no-proxy-headers" in parts.web_argv(panel(), PYTHON)
    assert "--proxy-headers" in parts.web_argv(panel(OPSWEB_URL="https://panel.example"), PYTHON)


@pytest.mark.parametrize("odd", ["/srv/100%/x/python", "/srv/two words/python", "/srv/%(here)s/python", "/srv/it's/python"])
def test_supervisor_reads_back_every_word(panel: PanelOf, tmp_path: Path, odd: str) -> None:
    """A clone may lie anywhere: supervisor expands %, splits words and knows quotes."""
    file = tmp_path / "supervisord.conf"
    shown = parts.parts(panel(OPSWEB_DRIVER="fake"), Path(odd), workers=2)
    text = parts.supervisord_conf(panel(OPSWEB_DRIVER="fake"), tmp_path, shown, user="", minfds=64)
    file.write_text(text.replace("/var/lib/opsweb/log", str(tmp_path)).replace("/run/opsweb/supervisor", f"{tmp_path}/supervisor"))
    options = ServerOptions()
    options.realize(["-c", str(file)])
    read = {config.name: config.process_configs[0] for config in options.process_group_configs}
    assert sorted(read) == ["beat", "redis", "watcher", "web", "worker"]
    for part in shown:
        assert tuple(shlex.split(read[part.name].command)) == part.argv
        assert read[part.name].killasgroup
        assert not read[part.name].stopasgroup
