"""What people type becomes a spec, or a sentence beside its field."""

from typing import Any

import pytest
from django.http import QueryDict

from instances.forms import HIDDEN, InstanceForm, PortRow, initial_of, rows_of_instance
from instances.views.create import name_from
from tests.unit.conftest import MakeInstance


def form(**fields: Any) -> InstanceForm:
    """A bound form with a name and a size."""
    data = QueryDict(mutable=True)
    for name, value in {"name": "web1", "size": "1x256", **fields}.items():
        data.setlist(name, value if isinstance(value, list) else [value])
    return InstanceForm(data)


def test_a_chip_stands_for_two_numbers() -> None:
    bound = form(size="2x512", vcpus="64", memory_mib="9999")
    assert bound.is_valid()
    assert (bound.spec(blank_is_default=True).vcpus, bound.spec(blank_is_default=True).memory_mib) == (2, 512)


def test_custom_takes_the_numbers() -> None:
    bound = form(size="custom", vcpus="3", memory_mib="700")
    assert bound.is_valid()
    assert (bound.spec(blank_is_default=True).vcpus, bound.spec(blank_is_default=True).memory_mib) == (3, 700)


def test_texts_are_taken_apart() -> None:
    bound = form(
        args="serve --root '/var/my site'",
        env="A=1\n\n  B = two=2 \n",
        hosts="10.0.2.2 bob alice",
        secret_env="A, B",
        nameservers="1.1.1.1 9.9.9.9",
    )
    assert bound.is_valid()
    spec = bound.spec(blank_is_default=True)
    assert spec.args == ["serve", "--root", "/var/my site"]
    assert spec.env == {"A": "1", "B": " two=2"}
    assert spec.hosts == {"bob": "10.0.2.2", "alice": "10.0.2.2"}
    assert (spec.secret_env, spec.nameservers) == (["A", "B"], ["1.1.1.1", "9.9.9.9"])


def test_blank_leaves_it_to_the_image_or_means_none() -> None:
    bound = form()
    assert bound.is_valid()
    assert bound.spec(blank_is_default=True).args is None
    assert bound.spec(blank_is_default=False).args == []
    assert bound.spec(blank_is_default=False).ports == []


def test_a_hidden_secret_keeps_its_value() -> None:
    bound = form(env=f"KEY={HIDDEN}\nMODE=x", secret_env="KEY")
    assert bound.is_valid()
    assert bound.spec(blank_is_default=False).env == {"KEY": None, "MODE": "x"}


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"args": "a 'b"}, "args", "quote"),
        ({"env": "A=1\nnonsense"}, "env", "Line 2"),
        ({"env": "=x"}, "env", "Line 1"),
        ({"hosts": "10.0.2.2"}, "hosts", "Line 1"),
        ({"name": "No Spaces"}, "name", "lower-case"),
        ({"size": "custom", "vcpus": "0"}, "vcpus", "greater"),
    ],
)
def test_what_cannot_be_used_is_said_beside_its_field(fields: dict[str, str], field: str, words: str) -> None:
    bound = form(**fields)
    assert not bound.is_valid()
    assert words in str(bound.errors[field])


def test_port_rows_become_two_lists() -> None:
    bound = form(
        port_host=["8080", "127.0.0.1:18081", "", "5353"], port_guest=["", "8080", "", "53"], port_protocol=["tcp", "tcp", "tcp", "udp"]
    )
    assert bound.is_valid()
    spec = bound.spec(blank_is_default=True)
    assert (spec.ports, spec.udp_ports) == (["8080", "127.0.0.1:18081:8080"], ["5353:53"])


def test_a_bad_port_is_said_beside_the_rows_and_stays_in_them() -> None:
    bound = form(port_host=["99999"], port_guest=[""], port_protocol=["tcp"])
    assert not bound.is_valid()
    assert "1 to 65535" in bound.port_errors[0]
    assert bound.other_errors == []
    assert bound.port_rows == [PortRow("99999", "", "tcp")]


def test_what_an_instance_has_comes_back_as_it_was(make_instance: MakeInstance) -> None:
    """The edit form, sent unchanged, changes nothing."""
    has = {
        "args": ["a b", "c"],
        "env": {"K": "s", "M": "x=y"},
        "secret_env": ["K"],
        "hosts": {"bob": "10.0.2.2"},
        "nameservers": ["1.1.1.1"],
    }
    instance = make_instance(ports=((18_080, 8080),), vcpus=3, memory_mib=300, **has)
    row = rows_of_instance(instance)[0]
    typed = {name: ("on" if value else "") if isinstance(value, bool) else str(value) for name, value in initial_of(instance).items()}
    bound = form(**{**typed, "port_host": [row.host], "port_guest": [row.guest], "port_protocol": [row.protocol]})
    assert bound.is_valid(), bound.errors
    spec = bound.spec(blank_is_default=False)
    assert {name: getattr(spec, name) for name in has} == {**has, "env": {"K": None, "M": "x=y"}}
    assert (spec.vcpus, spec.memory_mib, spec.ports, spec.autostart, spec.reboot_on_exit) == (3, 300, ["18080:8080"], True, False)


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("My App_v2.tar.gz", "my-app-v2"),
        ("../../etc/passwd", "passwd"),
        ("g", "g"),
        ("....", "app"),
        ("ä" * 50, "app"),
        ("x" * 39 + "-yz", "x" * 39),
    ],
)
def test_a_files_name_becomes_a_name_of_ours(filename: str, name: str) -> None:
    assert name_from(filename) == name
