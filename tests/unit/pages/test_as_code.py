"""An instance as text is read back as the same instance, and tells no secret."""

import json
import shlex

import pytest

from instances import shown
from instances.as_code import config_json, create_line
from instances.imaging.opsconfig import parse
from instances.models import Instance
from instances.views.present import with_relations
from tests.unit.conftest import MakeInstance

NAT = {"name": "tap1", "network": "br0", "mac": "", "address4": "192.168.33.9", "address6": "fd00::9", "fixed": True}
LAB = {"name": "tap2", "network": "lab", "mac": "", "address4": "192.168.34.2", "address6": "", "fixed": False}
USER = {"name": "tap0", "network": "", "mac": "", "address4": "", "address6": "", "fixed": False}


def run_config(make_instance: MakeInstance, *nics: dict[str, object]) -> dict[str, object]:
    run = json.loads(config_json(made(make_instance), [], list(nics)))["RunConfig"]
    return {name: value for name, value in run.items() if name not in ("Memory", "CPUs", "InstanceName")}


def test_nics_are_said_in_the_words_of_ops(make_instance: MakeInstance) -> None:
    own = {"BridgeName": "br0", "IPAddress": "192.168.33.9", "IPv6Address": "fd00::9"}
    assert run_config(make_instance, NAT) == {"Bridged": True, "TapName": "tap1", **own}


@pytest.mark.parametrize(
    ("nics", "expected"),
    [
        ((USER,), {}),
        ((LAB,), {"Bridged": True, "TapName": "tap2", "BridgeName": "lab"}),
        ((USER, LAB), {"Nics": [{}, {"BridgeName": "lab"}]}),
        ((LAB, LAB), {"Bridged": True, "TapName": "tap2", "BridgeName": "lab", "Nics": [{"BridgeName": "lab"}, {"BridgeName": "lab"}]}),
    ],
)
def test_of_any_number_of_nics(nics: tuple[dict[str, object], ...], expected: dict[str, object], make_instance: MakeInstance) -> None:
    assert run_config(make_instance, *nics) == expected


def test_the_line_has_the_flags_of_ops_or_the_config(make_instance: MakeInstance) -> None:
    instance = made(make_instance)
    words = ["--bridged", "--bridgename", "br0", "--tapname", "tap1", "--ip-address", "192.168.33.9", "--ipv6-address", "fd00::9"]
    assert shlex.join(words) in create_line(instance, [], [NAT])
    assert "-c config.json" in create_line(instance, [], [USER, LAB])
    assert not {"--bridged", "-c"} & set(shlex.split(create_line(instance, [], [USER])))


def made(make_instance: MakeInstance) -> Instance:
    """One with something in every field."""
    has = {"args": ["--root", "/my site"], "env": {"MODE": "a b", "KEY": "hunter2"}, "secret_env": ["KEY"], "nameservers": ["1.1.1.1"]}
    instance = make_instance(ports=((18_080, 8080), (9000, 9000)), vcpus=2, memory_mib=512, **has)
    return with_relations(Instance.objects.all()).get(pk=instance.pk)


def test_the_config_is_read_back_as_the_same(make_instance: MakeInstance) -> None:
    instance = made(make_instance)
    text = config_json(instance, shown.forwards(instance), shown.nics(instance))
    config = parse(text)
    assert config.args == ("--root", "/my site")
    assert config.env == {"MODE": "a b"}
    assert (config.memory_mib, config.vcpus, config.instance_name) == (512, 2, "web1")
    assert config.ports == ("9000", "18080:8080")
    assert config.nameservers == ("1.1.1.1",)
    assert "hunter2" not in text


def test_the_line_is_split_by_a_shell_into_what_was_meant(make_instance: MakeInstance) -> None:
    """INV-11: whatever stands in a field stays one word."""
    instance = made(make_instance)
    line = create_line(instance, shown.forwards(instance), shown.nics(instance))
    words = shlex.split(line)
    assert words[:6] == ["opsweb", "instance", "create", "web", "-i", "web1"]
    assert words[words.index("-p") + 1] == "9000"
    assert "/my site" in words
    assert "MODE=a b" in words
    assert "KEY=…" in words
    assert "hunter2" not in line
