"""The guard's nft text against golden files, and the values it refuses. `GOLDEN=write` rewrites the files; review the diff."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from networks.fabric.base import Endpoint, FabricError, Guard, Redirect
from networks.fabric.guard import checked, redirect_comment, redirect_of, render, render_removal, table_name

GOLDEN = Path(__file__).parent / "golden"
NOBODY = Guard(uid_first=800001, uid_last=865535, allowed={})
WEB = Endpoint("tcp", "127.0.0.1", 80)
TEAM_A = (Endpoint("tcp", "127.0.0.1", 8080), Endpoint("udp", "127.0.0.1", 5353), WEB)
TEAM_B = (Endpoint("udp", "0.0.0.0", 9000), Endpoint("tcp", "192.0.2.1", 443))
BRIDGED = (Endpoint("tcp", "192.168.33.10", 80), Endpoint("udp", "192.168.33.10", 53))
GUARDS = {
    "nobody": NOBODY,
    "teams": replace(NOBODY, allowed={800002: TEAM_A, 800001: tuple(reversed(TEAM_A)), 800003: TEAM_B, 800004: ()}),
    "resolvers": replace(NOBODY, resolvers=("127.0.0.53", "192.0.2.53", "::1", "fe80::1%eth0"), shared_ports=(8000, 3128)),
    "bridged": replace(
        NOBODY,
        allowed={800001: (WEB,)},
        bridged=dict.fromkeys((800001, 800002), (Endpoint("tcp", "192.168.33.10", 80), Endpoint("udp", "192.168.33.10", 53)))
        | {800003: ()},
        uplinks=("ow1a2b00000002b", "ow1a2b00000001b"),
    ),
    "redirects": replace(
        NOBODY,
        allowed={800001: (WEB,), 800002: (Endpoint("udp", "0.0.0.0", 53),)},
        redirects=(
            Redirect(WEB, 20080),
            Redirect(Endpoint("tcp", "192.0.2.1", 443), 20443),
            Redirect(Endpoint("udp", "0.0.0.0", 53), 20053),
        ),
    ),
}


@pytest.mark.parametrize("name", GUARDS)
def test_text_is_golden(name):
    """T3."""
    path = GOLDEN / f"guard_{name}.nft"
    text = render("1a2b", GUARDS[name], refused=(7, 420))
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


def test_order_of_values_changes_nothing():
    backwards = replace(
        GUARDS["redirects"],
        allowed=dict(reversed(GUARDS["redirects"].allowed.items())),
        redirects=tuple(reversed(GUARDS["redirects"].redirects)),
    )
    assert render("1a2b", backwards) == render("1a2b", GUARDS["redirects"])


def test_vms_of_a_team_share_one_rule():
    """A thousand VMs that may reach the same forwards cost one rule, not a thousand sets."""
    many = replace(NOBODY, allowed=dict.fromkeys(range(800001, 801001), TEAM_A))
    assert render("1a2b", many).count("127.0.0.1 . tcp . 8080") == 1


def test_table_carries_the_installation():
    assert table_name("1a2b") == "ow1a2b_guard"
    assert render_removal("1a2b").splitlines() == ["add table inet ow1a2b_guard", "delete table inet ow1a2b_guard"]


@pytest.mark.parametrize("tag", ["", "1A2B", "1a2", "1a2b5", "1a2b\n", "x;{}"])
def test_a_tag_is_four_hex_digits(tag):
    with pytest.raises(FabricError, match="tag"):
        table_name(tag)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"uid_first": 0}, "leave out root"),
        ({"uid_first": 900000}, "run upwards"),
        ({"uid_last": 2**32 - 1}, "run upwards"),
        ({"uid_first": "800001"}, "not one"),
        ({"allowed": {1000: ()}}, "user id 1000 is outside the range 800001-865535"),
        ({"allowed": {800001: (Endpoint("sctp", "127.0.0.1", 80),)}}, "'sctp' is neither tcp nor udp"),
        ({"allowed": {800001: (Endpoint("tcp", "999.0.0.1", 80),)}}, "'999.0.0.1' is not an IPv4 address"),
        ({"allowed": {800001: (Endpoint("tcp", "127.0.0.1 } accept", 80),)}}, "is not an IPv4 address"),
        ({"allowed": {800001: (Endpoint("tcp", "::1", 80),)}}, "is not an IPv4 address"),
        ({"allowed": {800001: (Endpoint("tcp", "127.0.0.1", 0),)}}, "0 is not a port"),
        ({"allowed": {800001: (Endpoint("tcp", "127.0.0.1", True),)}}, "True is not a port"),
        ({"bridged": {1000: ()}}, "user id 1000 is outside the range"),
        ({"bridged": {800001: (Endpoint("tcp", "bob", 80),)}}, "'bob' is not an IPv4 address"),
        ({"uplinks": ("eth0",)}, "'eth0' is no bridge"),
        ({"uplinks": ('ow1a2b00000001b" accept',)}, "is no bridge"),
        ({"shared_ports": (70000,)}, "70000 is not a port"),
        ({"resolvers": ("dns.example",)}, "'dns.example' is not an IP address"),
        ({"redirects": (Redirect(Endpoint("tcp", "127.0.0.1", 8080), 20080),)}, "not 8080 to 20080"),
        ({"redirects": (Redirect(WEB, 443),)}, "not 80 to 443"),
        ({"redirects": (Redirect(WEB, 20080), Redirect(WEB, 20081))}, "redirected twice"),
        ({"redirects": (Redirect(WEB, 20080), Redirect(replace(WEB, address="0.0.0.0"), 20081))}, "redirected twice"),
    ],
)
def test_refuses_values_that_are_not_what_they_should_be(changes, words):
    with pytest.raises(FabricError) as caught:
        checked(replace(NOBODY, **changes))
    assert caught.value.code == "bad_guard"
    assert words in caught.value.message


ADDRESSES = st.ip_addresses().map(str)
ENDINGS = st.sampled_from(["\n", " }", ", ::1", "%eth0", "%\n}", "/8", "-127.0.0.9"])


@given(st.text() | ADDRESSES | st.tuples(ADDRESSES, ENDINGS).map("".join), st.sampled_from(["address", "protocol", "resolver"]))
def test_no_text_gets_in(text, place):
    """SEC-D1, INV-11: whatever stands for an address or a protocol is refused, or becomes one word of one line."""
    guards = {
        "address": replace(NOBODY, allowed={800001: (Endpoint("tcp", text, 80),)}),
        "protocol": replace(NOBODY, allowed={800001: (Endpoint(text, "127.0.0.1", 80),)}),
        "resolver": replace(NOBODY, resolvers=(text,)),
    }
    rendered = _rendered(guards[place])
    if rendered != "bad_guard":
        harmless = (replace(NOBODY, allowed={800001: (Endpoint("tcp", address, 80),)}) for address in ("192.0.2.1", "0.0.0.0"))
        shapes = [*harmless, *(replace(NOBODY, resolvers=(address,)) for address in ("192.0.2.1", "2001:db8::1"))]
        assert _shape(rendered) in [_shape(render("1a2b", guard)) for guard in shapes]


def _rendered(guard: Guard) -> str:
    try:
        return render("1a2b", guard)
    except FabricError as error:
        return error.code


def _shape(text: str) -> list[int]:
    return [len(line.split(" ")) for line in text.split("\n")]


@pytest.mark.parametrize("public", [WEB, Endpoint("udp", "0.0.0.0", 53)])
def test_another_installation_reads_a_redirects_comment(public):
    assert redirect_of(redirect_comment(public)) == public


@pytest.mark.parametrize("comment", ["", "redirect", "redirect tcp localhost 80", "redirect tcp 127.0.0.1 80 ", "managed by docker"])
def test_other_comments_mean_nothing(comment):
    assert redirect_of(comment) is None
