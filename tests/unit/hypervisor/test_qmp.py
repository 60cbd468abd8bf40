"""QMP calls against a scripted server: what is sent, and that each way it can go wrong is bounded and named."""

import socket
import time

import pytest

from instances.hypervisor import qmp
from tests.fakes.qmp_server import CLOSE, HANG, scripted_qmp


def test_status(tmp_path):
    with scripted_qmp(tmp_path / "q", query_status=[{"status": "running", "running": True}]) as server:
        assert qmp.status(tmp_path / "q") == "running"
    assert [command for command, _ in server.heard] == ["qmp_capabilities", "query-status"]


def test_one_connection_after_the_other(tmp_path):
    with scripted_qmp(tmp_path / "q", query_status=[{"status": "paused"}, {"status": "running"}]):
        assert [qmp.status(tmp_path / "q"), qmp.status(tmp_path / "q")] == ["paused", "running"]


def test_human_monitor(tmp_path):
    with scripted_qmp(tmp_path / "q", human_monitor_command=["Could not do it\r\n"]) as server:
        assert qmp.monitor(tmp_path / "q", "hostfwd_add net0 tcp:127.0.0.1:1-:2") == "Could not do it"
    assert server.heard[-1] == ("human-monitor-command", {"command-line": "hostfwd_add net0 tcp:127.0.0.1:1-:2"})


def test_a_refusal_is_qemus_own_sentence(tmp_path):
    refusal = {"class": "GenericError", "desc": "Resetting the Virtual Machine is required"}
    with scripted_qmp(tmp_path / "q", cont=[refusal]), pytest.raises(qmp.Refused, match="Resetting the Virtual Machine is required"):
        qmp.ask(tmp_path / "q", "cont")


def test_nobody_there(tmp_path):
    with pytest.raises(qmp.MonitorGone):
        qmp.status(tmp_path / "q")


def test_nobody_listens_any_more(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "q"))
    with pytest.raises(qmp.MonitorGone):
        qmp.status(tmp_path / "q")


def test_it_ends_instead_of_an_answer(tmp_path):
    with scripted_qmp(tmp_path / "q", query_status=[CLOSE]), pytest.raises(qmp.MonitorGone):
        qmp.status(tmp_path / "q")


def test_it_speaks_something_else(tmp_path):
    with scripted_qmp(tmp_path / "q", greeting={"hello": "world"}), pytest.raises(qmp.MonitorGone):
        qmp.status(tmp_path / "q")


@pytest.mark.parametrize("script", [{"greeting": HANG}, {"query_status": [HANG]}])
def test_silence_is_bounded(tmp_path, script):
    began = time.monotonic()
    with scripted_qmp(tmp_path / "q", **script), pytest.raises(qmp.MonitorSilent):
        qmp.status(tmp_path / "q", timeout=0.2)
    assert time.monotonic() - began < 3
