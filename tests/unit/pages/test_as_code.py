"""An instance as text is read back as the same instance, and tells no secret."""

import shlex

from instances import shown
from instances.as_code import config_json, create_line
from instances.imaging.opsconfig import parse
from instances.models import Instance
from instances.views.present import with_relations
from tests.unit.conftest import MakeInstance


def made(make_instance: MakeInstance) -> Instance:
    """One with something in every field."""
    has = {"args": ["--root", "/my site"], "env": {"MODE": "a b", "KEY": "hunter2"}, "secret_env": ["KEY"], "nameservers": ["1.1.1.1"]}
    instance = make_instance(ports=((18_080, 8080), (9000, 9000)), vcpus=2, memory_mib=512, **has)
    return with_relations(Instance.objects.all()).get(pk=instance.pk)


def test_the_config_is_read_back_as_the_same(make_instance: MakeInstance) -> None:
    instance = made(make_instance)
    text = config_json(instance, shown.forwards(instance))
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
    line = create_line(instance, shown.forwards(instance))
    words = shlex.split(line)
    assert words[:6] == ["opsweb", "instance", "create", "web", "-i", "web1"]
    assert words[words.index("-p") + 1] == "9000"
    assert "/my site" in words
    assert "MODE=a b" in words
    assert "KEY=…" in words
    assert "hunter2" not in line
