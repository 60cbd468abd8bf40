"""What people may write into names, args, env and hosts: any text stays one text, and what can't be is refused (INV-11, SEC-D1)."""

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instances.models import Image, Instance
from instances.services.images import check_name
from instances.services.texts import MAX_TEXT, check_hosts, check_texts
from opsweb.core.errors import Invalid

HOSTILE = st.text(max_size=80) | st.sampled_from(
    ["", "-v", "--help", "a,b=c", ",,", "x\ny", "$(id)", "`id`", "'; rm -rf /", "\x1b]52;c;", "\u202e", "‮", "\0", "\ud800", "a" * 41]
)
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)


def is_refused(check: Any, *args: Any) -> bool:
    """Whether it is refused; anything but a refusal is a mistake of ours."""
    try:
        check(*args)
    except Invalid:
        return True
    return False


@given(HOSTILE)
def test_a_name_is_of_our_alphabet_or_refused(text: str) -> None:
    """INV-11."""
    assert is_refused(check_name, text) is (NAME.fullmatch(text) is None)


@pytest.mark.parametrize("name", ["a", "a1", "web-1", "a" * 40, "0"])
def test_names_that_are_taken(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "-", "-a", "a-", "A", "a_b", "a.b", "a" * 41, "a\n", "\na", "é", "٣", "a b", "../x"])
def test_names_that_are_not(name: str) -> None:
    assert is_refused(check_name, name)


@given(st.lists(HOSTILE, max_size=5), st.dictionaries(HOSTILE, HOSTILE, max_size=5))
def test_args_and_env_are_kept_as_they_are_or_refused(args: list[str], env: dict[str, str]) -> None:
    """SEC-D1: nothing is split, trimmed or escaped on the way in."""
    instance = Instance(args=list(args), env=dict(env))
    texts = [*args, *env, *env.values()]
    can_be_one_string = all("\0" not in text and _is_utf8(text) for text in texts)
    named = all(name and "=" not in name for name in env)
    assert is_refused(check_texts, instance) is not (can_be_one_string and named)
    assert (instance.args, instance.env) == (args, env)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@pytest.mark.parametrize("value", [None, 1, ["a"], {"a": "b"}, b"a"])
def test_only_texts_are_texts(value: Any) -> None:
    assert is_refused(check_texts, Instance(args=[value]))
    assert is_refused(check_texts, Instance(env={"A": value}))


def test_there_is_an_end_to_it() -> None:
    longest = "x" * (MAX_TEXT - 1)  # and the byte that ends it
    check_texts(Instance(args=[longest]))
    assert is_refused(check_texts, Instance(args=[longest], env={"A": ""}))


@given(
    st.dictionaries(HOSTILE, HOSTILE | st.ip_addresses(v=4).map(str), max_size=3),
    st.lists(HOSTILE | st.ip_addresses(v=4).map(str), max_size=3),
)
def test_hosts_and_nameservers_are_one_word_a_line(hosts: dict[str, str], nameservers: list[str]) -> None:
    """SEC-D1: no second line, no second word, no comment."""
    if not is_refused(check_hosts, Instance(hosts=hosts, nameservers=nameservers)):
        for word in (*hosts, *hosts.values(), *nameservers):
            assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", word, re.ASCII)


@pytest.mark.parametrize("host", ["bob", "db.internal", "a_b", "x-1"])
def test_host_names_that_are_taken(host: str) -> None:
    check_hosts(Instance(hosts={host: "10.0.2.2"}, nameservers=["9.9.9.9"]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(args=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40), max_size=4))
def test_what_is_stored_is_what_was_said(image: Image, args: list[str]) -> None:
    """SEC-D1: through the database and back."""
    Instance.objects.all().delete()
    made = Instance.objects.create(
        team=image.team, host=image.host, image=image, name="web1", uid_offset=1, args=args, env=dict.fromkeys(args, "x")
    )
    made.refresh_from_db()
    assert made.args == args
    assert made.env == dict.fromkeys(args, "x")
