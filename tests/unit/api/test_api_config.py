"""config/check: what the panel makes of a config.json."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

ApiOf = Callable[..., Any]


def test_a_good_one_is_read_back_with_notes(api: ApiOf, vic: User) -> None:
    answer = api(vic).post("config/check", {"text": '{"args": ["-v"], "RunConfig": {"Memory": "1g", "Vga": true}}'})
    assert answer.status_code == 200
    assert answer.json()["config"]["args"] == ["-v"]
    assert answer.json()["config"]["memory_mib"] == 1024
    assert [note["field"] for note in answer.json()["notes"]] == ["RunConfig.Vga"]


def test_bridged_networking_is_read_as_ops_writes_it(api: ApiOf, vic: User) -> None:
    text = '{"RunConfig": {"Bridged": true, "TapName": "tap1", "BridgeName": "br1", "Nics": [{"IPAddress": "10.0.0.9"}]}}'
    answer = api(vic).post("config/check", {"text": text}).json()
    nic = {"ip_address": "10.0.0.9", "ipv6_address": "", "net_mask": "", "gateway": "", "bridge_name": ""}
    assert answer["config"] == {"bridging": {"bridged": True, "tap_name": "tap1", "bridge_name": "br1", "nics": [nic]}}
    assert answer["notes"] == []


def test_the_documents_own_sample_is_answered_with_the_mend(api: ApiOf, vic: User) -> None:
    text = '{\n    "RunConfig": {\n        "Bridged": true,\n        "TapName": tap1,\n        "BridgeName": br1\n    }\n}\n'
    fields = api(vic).post("config/check", {"text": text}).json()["fields"]
    assert fields == {"line": [4], "column": [20], "mend": ['Put quotes around it: "tap1"']}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "bad_json"),
        ('{"Args": 1}', "bad_value"),
        ('{"Argz": []}', "unknown_field"),
        ("[" * 100_000, "bad_json"),
        ('{"Args": [1e999999]}', "bad_value"),
    ],
)
def test_a_bad_one_is_explained(api: ApiOf, vic: User, text: str, code: str) -> None:
    """SEC-I1."""
    answer = api(vic).post("config/check", {"text": text})
    assert (answer.status_code, answer.json()["code"]) == (422, code)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"text": "{}", "ports": ["0"]}, "bad_port"),
        ({"text": "{}", "udp_ports": ["53/tcp"]}, "bad_protocol"),
        ({"text": '{"RunConfig": {"Ports": ["80-70"]}}'}, "bad_range"),
        ({"text": '{"RunConfig": {"InstanceName": "My Web"}}'}, "invalid"),
        ({"text": '{"CloudConfig": {"ImageName": "../x"}}'}, "invalid"),
    ],
)
def test_what_a_create_would_refuse_is_refused_before(api: ApiOf, vic: User, body: Any, code: str) -> None:
    answer = api(vic).post("config/check", body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_ports_beside_the_config_come_in_place_of_its_own(api: ApiOf, vic: User) -> None:
    body = {"text": '{"RunConfig": {"Ports": ["80-70"], "InstanceName": "web"}}', "ports": ["8080"]}
    assert api(vic).post("config/check", body).status_code == 200


def test_where_and_how_to_mend_it(api: ApiOf, vic: User) -> None:
    fields = api(vic).post("config/check", {"text": '{\n  "Args": ["-v"],\n}'}).json()["fields"]
    assert fields["line"] in ([2], [3])
    assert fields["column"]
    assert fields["mend"]


@pytest.mark.parametrize("body", [{}, {"text": 7}, {"text": "{}", "path": "/etc/passwd"}, {"text": "x" * (1024**2 + 1)}])
def test_a_bad_body_is_refused(api: ApiOf, vic: User, body: Any) -> None:
    assert api(vic).post("config/check", body).status_code == 422
