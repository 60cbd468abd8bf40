"""`opsweb instance …`, `me`, `operation …`: requests, answers, exit codes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opsweb.cli.arguments import POWER
from tests.unit.cli.called import Done
from tests.unit.cli.fake_state import Answer, State, refuse

Opsweb = Callable[..., Done]


def test_create_sends_only_what_was_said(opsweb: Opsweb, state: State) -> None:
    done = opsweb("instance", "create", "img", "-i", "web1")
    assert done.code == 0
    assert state.sent("POST", "instances/") == [{"name": "web1", "image": "img", "start": True}]


def test_create_sends_every_flag(opsweb: Opsweb, state: State) -> None:
    done = opsweb(
        "instance", "create", "img", "-i", "web1", "-t", "onprem", "-p", "18081:8080", "-p", "80,443", "--udp", "53", "-a", "-v",
        "-e", "A=1", "-m", "1g", "--smp", "2", "--json",
    )  # fmt: skip
    assert state.sent("POST", "instances/") == [
        {"name": "web1", "image": "img", "vcpus": 2, "memory_mib": 1024, "args": ["-v"], "env": {"A": "1"}, "udp_ports": ["53"],
         "ports": ["18081:8080", "80,443"], "start": True}
    ]  # fmt: skip
    assert done.json["ports"][0]["url"] == "http://127.0.0.1:18081/"


def test_create_takes_name_and_values_of_a_config(opsweb: Opsweb, state: State, tmp_path: Any) -> None:
    text = '{"RunConfig": {"InstanceName": "web9", "Memory": "1g"}}'
    (tmp_path / "c.json").write_text(text)
    assert opsweb("instance", "create", "-c", "c.json", "img", "-p", "8080").code == 0
    assert state.sent("POST", "instances/") == [{"name": "web9", "image": "img", "ports": ["8080"], "start": True, "config": text}]


def test_create_sends_ops_words_for_bridges_as_they_are(opsweb: Opsweb, state: State) -> None:
    done = opsweb(
        "instance", "create", "img", "-i", "web1", "--bridged", "--tap", "tap0", "--bridgename", "br1", "--ip-address", "192.168.42.19",
        "--ipv6-address", "fd00::13", "--netmask", "255.255.255.0", "--gateway", "192.168.42.1", "--bridgeipaddress", "192.168.42.66",
        "--no-create",
    )  # fmt: skip
    assert done.code == 0
    bridging = {
        "bridged": True, "tap_name": "tap0", "bridge_name": "br1", "ip_address": "192.168.42.19", "ipv6_address": "fd00::13",
        "net_mask": "255.255.255.0", "gateway": "192.168.42.1", "bridge_ip_address": "192.168.42.66", "create_network": False,
    }  # fmt: skip
    assert state.sent("POST", "instances/") == [{"name": "web1", "image": "img", "bridging": bridging, "start": True}]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["gcp"], '"Platform": "gcp"'),
        (["gcp", "-p", "8080"], '"Ports": ["8080"]'),
        (["aws", "-c", "my.json"], 'my.json changed in two places: CloudConfig with "Platform": "aws"'),
        (["moon"], "moon is no target of OPS either"),
    ],
)
def test_another_target_is_told_what_to_take_there(opsweb: Opsweb, state: State, flags: list[str], told: str) -> None:
    done = opsweb("instance", "create", "img", "-t", *flags)
    assert done.code == 2
    assert told in done.err
    assert state.requests == []


@pytest.mark.parametrize("command", [("run", "g"), ("instance", "create", "img")])
def test_ports_that_make_no_sense_are_told_before_anything_is_made(
    opsweb: Opsweb, state: State, elf: Path, command: tuple[str, ...]
) -> None:
    done = opsweb(*command, "-p", "0")
    assert done.code == 2
    assert "Ports go from 1 to 65535. (bad_port)" in done.err
    assert (state.uploads, state.images, state.vms) == ({}, {}, {})


def test_a_refused_value_is_told_by_field(opsweb: Opsweb, state: State) -> None:
    done = opsweb("instance", "create", "img", "-i", "web1", "-p", "1", "--json")
    assert done.code == 1
    assert done.json == {
        "code": "invalid",
        "message": "This can not be forwarded.",
        "fields": {"ports": ["Port 1 is reserved."]},
        "request_id": "r-1",
    }
    assert "ports: Port 1 is reserved." in done.err


def test_a_start_that_fails_is_told_and_the_instance_stays(opsweb: Opsweb, state: State) -> None:
    state.start_error = "Port 18081 is busy: nginx listens there."
    done = opsweb("instance", "create", "img", "-i", "web1")
    assert done.code == 1
    assert "nginx listens there. (start_failed)" in done.err
    assert "opsweb instance delete web1" in done.err
    assert len(state.vms) == 1


def test_show_prints_the_panels_object_as_it_is(opsweb: Opsweb, state: State) -> None:
    vm = state.vm("web1", body={"ports": ["8080"], "env": {"SECRET": None}})
    assert opsweb("instance", "show", "web1", "--json").json == vm.shown()
    assert opsweb("instance", "show", vm.id, "--json").json == vm.shown()
    text = opsweb("instance", "show", "web1").out.decode()
    assert "http://127.0.0.1:18081/" in text
    assert "SECRET=•••" in text


def test_nics_on_networks_are_told(opsweb: Opsweb, state: State) -> None:
    nic = {"name": "tap0", "network": "br0", "mac": "02:00:00:00:00:01", "address4": "192.168.42.19", "address6": "", "fixed": True}
    state.vm("server", body={"nics": [nic, nic | {"name": "tap1", "network": "", "address4": ""}]})
    assert "tap0 on br0 192.168.42.19\n" in opsweb("instance", "show", "server").out.decode()
    assert opsweb("instance", "wait", "server", "--state", "running").out == b"server: Running\n  tap0 on br0 192.168.42.19\n"


def test_list(opsweb: Opsweb, state: State) -> None:
    vm = state.vm("web1")
    assert opsweb("instance", "list", "--json").json == {"items": [vm.shown()], "count": 1}
    assert b"web1" in opsweb("instance", "list").out


def test_a_name_in_two_teams_needs_the_team(opsweb: Opsweb, state: State) -> None:
    state.vm("web1", body={"team": "blue"})
    state.vm("web1", body={"team": "red"})
    done = opsweb("instance", "show", "web1")
    assert done.code == 1
    assert "of the teams blue, red" in done.err
    assert opsweb("instance", "show", "web1", "--team", "red", "--json").json["team"] == "red"


@pytest.mark.parametrize("verb", POWER)
def test_each_verb_is_asked_for_and_waited_for(opsweb: Opsweb, state: State, verb: str) -> None:
    vm = state.vm("web1")
    done = opsweb("instance", verb, "web1", "--json")
    assert done.code == 0
    assert vm.verbs == [verb]
    assert (done.json["verb"], done.json["status"]) == (verb, "succeeded")


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [(409, "wrong_state", 1), (409, "busy", 1), (403, "forbidden", 4), (401, "unauthenticated", 4), (500, "internal", 1)],
)
def test_refusals_have_their_exit_code_and_sentence(opsweb: Opsweb, state: State, status: int, code: str, exit_code: int) -> None:
    state.vm("web1")
    state.refuse_verb = refuse(status, code, "That needs the role operator.")
    done = opsweb("instance", "stop", "web1")
    assert done.code == exit_code
    assert f"opsweb: That needs the role operator. ({code})" in done.err


def test_delete(opsweb: Opsweb, state: State) -> None:
    state.vm("web1")
    assert opsweb("instance", "delete", "web1").code == 0
    assert state.vms == {}
    assert opsweb("instance", "delete", "web1").code == 5


FORWARDED = {"ports": ["18081:8080"]}


def test_wait_for_a_port(opsweb: Opsweb, state: State) -> None:
    vm = state.vm("web1", body=FORWARDED)
    state.on(f"GET instances/{vm.id}", lambda: vm.listens(8080))
    assert opsweb("instance", "wait", "web1", "--port", "8080").code == 0
    assert opsweb("instance", "wait", "web1", "--json").json["waited_for"] is True


def test_wait_refuses_a_port_of_which_no_word_can_come(opsweb: Opsweb, state: State) -> None:
    """The guest tells about the ports that are forwarded."""
    state.vm("web1", body=FORWARDED)
    state.vm("web2")
    done = opsweb("instance", "wait", "web1", "--port", "99999")
    assert (done.code, done.err) == (1, "opsweb: No TCP port 99999 of web1 is forwarded, only 8080. (not_forwarded)\n")
    assert "none at all" in opsweb("instance", "wait", "web2", "--port", "8080").err


def test_wait_ends_in_time_with_exit_code_6(opsweb: Opsweb, state: State) -> None:
    state.vm("web1", body=FORWARDED)
    done = opsweb("instance", "wait", "web1", "--port", "8080", "--timeout", "1", "--json")
    assert done.code == 6
    assert done.json["code"] == "timeout"


def test_wait_does_not_wait_for_what_can_not_come(opsweb: Opsweb, state: State) -> None:
    state.vm("web1", body=FORWARDED, state="stopped")
    done = opsweb("instance", "wait", "web1", "--port", "8080", "--timeout", "30")
    assert done.code == 1
    assert "not_running" in done.err
    assert opsweb("instance", "wait", "web1", "--state", "ended").code == 0


def test_wait_outlasts_a_restart_of_the_panel(opsweb: Opsweb, state: State) -> None:
    vm = state.vm("web1", body=FORWARDED)

    def cut() -> None:
        vm.listens(8080)
        raise ConnectionResetError

    state.on(f"GET instances/{vm.id}", cut)
    assert opsweb("instance", "wait", "web1", "--port", "8080").code == 0


def test_what_a_guest_can_influence_does_not_reach_the_terminal_raw(opsweb: Opsweb, state: State) -> None:
    """SEC-A6."""
    state.vm("web1", body={"args": ["\x1b]52;c;aGk=\x07", "\x9b31m"]})
    out = opsweb("instance", "show", "web1").out.decode()
    assert "\x1b" not in out
    assert "\x9b" not in out
    assert "\\x1b]52" in out


def test_me_and_operations(opsweb: Opsweb, state: State) -> None:
    assert b"1 of 10" in opsweb("me").out
    made = state.operation("start", "web1")
    assert opsweb("operation", "list", "--json").json["items"][0]["id"] == made["id"]
    assert b"prepare: 12 ms" in opsweb("operation", "show", made["id"]).out
    assert opsweb("operation", "show", "none").code == 5


@pytest.mark.parametrize(
    ("status", "body", "exit_code"), [(200, b"<html>hello</html>", 3), (502, b"Bad gateway", 3), (500, b"oops", 1), (200, b"[1]", 3)]
)
def test_something_that_is_no_panel_is_recognised(opsweb: Opsweb, state: State, status: int, body: bytes, exit_code: int) -> None:
    def other() -> None:
        raise Answer(status, (body, {}))  # type: ignore[arg-type]

    state.on("GET me/", other)
    assert opsweb("me").code == exit_code


def test_a_panel_under_another_name_is_named_and_gets_no_token(opsweb: Opsweb, state: State) -> None:
    def moved() -> None:
        raise Answer(307, (b"", {"Location": "http://panel.example:8000/api/v1/me/"}))  # type: ignore[arg-type]

    state.on("GET me/", moved)
    done = opsweb("me")
    assert done.code == 3
    assert "The panel lives at http://panel.example:8000" in done.err
