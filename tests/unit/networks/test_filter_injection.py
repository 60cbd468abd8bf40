"""SEC-D1: whatever text stands in a plan, the filter's text has the same lines, or the plan is refused."""

from dataclasses import fields, replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from networks.fabric.base import FabricError, ForwardPlan, NetworkPlan
from networks.fabric.filter import render
from tests.unit.networks.plans import ALL, ISOLATED, NAT, RULED, TAG, WEB

PUBLIC = RULED.forwards[0].public
ENDINGS = st.sampled_from(["\n", " }", ", 10.0.0.1", "\n\t}\n}\nflush ruleset\n", '"', "%eth0", "/0", "-10.0.0.9", "\u2028", "\\"])
HARMLESS = (
    "any",
    "tcp",
    "udp",
    "icmp",
    "127.0.0.9",
    "198.51.100.7",
    "10.0.0.0/8",
    "fd00::/8",
    "2001:db8::7",
    NAT.cidr4,
    NAT.cidr6,
    "",
    ISOLATED.bridge,
    "ow1a2b00000009b",
    "0.0.0.0",
)
GOOD = st.sampled_from([NAT.bridge, RULED.tap, RULED.mac, RULED.address4, RULED.address6, *HARMLESS])
TEXT = st.text() | GOOD | st.tuples(GOOD, ENDINGS).map("".join)


def _network(**columns) -> NetworkPlan:
    return replace(NAT, **columns)


def _nic(**columns) -> NetworkPlan:
    return replace(NAT, nics=tuple(replace(nic, **columns) if nic is RULED else nic for nic in NAT.nics))


PLACES = {
    **{f"network {name}": (lambda text, name=name: _network(**{name: text})) for name in (
        "name", "bridge", "mode", "cidr4", "gateway4", "cidr6", "gateway6", "adapter", "domain",
    )},
    "network resolvers": lambda text: _network(resolvers=(text,)),
    "network records": lambda text: _network(records=((text, text),)),
    "network linked": lambda text: _network(linked=(text,)),
    **{f"nic {name}": (lambda text, name=name: _nic(**{name: text})) for name in ("tap", "mac", "name", "address4", "address6")},
    "rule protocol": lambda text: _nic(rules=(replace(WEB, protocol=text),)),
    "rule peer": lambda text: _nic(rules=(replace(WEB, peers=(text,)),)),
    "rule id": lambda text: _nic(rules=(replace(WEB, id=text),)),
    "forward address": lambda text: _nic(forwards=(ForwardPlan(replace(PUBLIC, address=text), 80),)),
    "forward protocol": lambda text: _nic(forwards=(ForwardPlan(replace(PUBLIC, protocol=text), 80),)),
}  # fmt: skip


def test_no_text_of_a_plan_is_forgotten():
    """A new field of text must come into the list above."""
    texts = {f"network {field.name}" for field in fields(NetworkPlan) if field.type in (str, "str")}
    assert texts <= PLACES.keys()


@pytest.mark.parametrize("place", PLACES)
@given(text=TEXT)
def test_no_text_gets_in(place, text):
    """INV-11: refused by name, or one value where one value belongs."""
    rendered = _rendered(place, text)
    if rendered != "bad_network":
        assert _shape(rendered) in _shapes(place)
        assert text.isascii() or text not in rendered


def _rendered(place: str, text: str) -> str:
    try:
        return render(TAG, (PLACES[place](text), *ALL[1:]))
    except FabricError as error:
        return error.code


def _shape(rendered: str) -> list[int]:
    """How many words each line has."""
    return [len(line.split(" ")) for line in rendered.split("\n")]


@cache
def _shapes(place: str) -> list[list[int]]:
    """Of plans that nobody would mind."""
    return [_shape(render(TAG, ALL)), *(_shape(_rendered(place, text)) for text in HARMLESS)]
