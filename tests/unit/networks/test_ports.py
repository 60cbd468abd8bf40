"""The grammar of port forwards, whole: what it reads, what it refuses and in which words, and that printing is its inverse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from networks.ports import MAX_PORTS, MAX_TEXT, PortError, PortMap, format_ports, parse_ports


def tcp(host: int, guest: int | None = None, address: str | None = None) -> PortMap:
    return PortMap("tcp", address, host, guest or host)


def udp(host: int, guest: int | None = None, address: str | None = None) -> PortMap:
    return PortMap("udp", address, host, guest or host)


@pytest.mark.parametrize(
    ("text", "maps"),
    [
        ("", ()),
        ("8080", (tcp(8080),)),
        ("80,443", (tcp(80), tcp(443))),
        ("9000-9002", (tcp(9000), tcp(9001), tcp(9002))),
        ("18081:8080", (tcp(18081, 8080),)),
        ("9000-9001:7000-7001", (tcp(9000, 7000), tcp(9001, 7001))),
        ("127.0.0.1:18081:8080", (tcp(18081, 8080, "127.0.0.1"),)),
        ("127.0.0.1:8080", (tcp(8080, address="127.0.0.1"),)),
        ("0.0.0.0:8080", (tcp(8080, address="0.0.0.0"),)),
        ("8080/udp", (udp(8080),)),
        ("8080/tcp,8080/UDP", (tcp(8080), udp(8080))),
        ("127.0.0.1:53:5353/udp", (udp(53, 5353, "127.0.0.1"),)),
        ("  80 , 9000 - 9001 : 7000 - 7001 / udp ", (tcp(80), udp(9000, 7000), udp(9001, 7001))),
        ("80,81:80", (tcp(80), tcp(81, 80))),
        ("127.0.0.1:80,127.0.0.2:80", (tcp(80, address="127.0.0.1"), tcp(80, address="127.0.0.2"))),
        ("1,65535", (tcp(1), tcp(65535))),
    ],
)
def test_reads(text, maps):
    assert parse_ports(text) == maps


def test_reads_lists_as_ops_writes_them():
    assert parse_ports(["80", "443,9000-9001"], ["53:5353"]) == (tcp(80), tcp(443), tcp(9000), tcp(9001), udp(53, 5353))


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("80,", "empty_port", "Write the ports as 80,443"),
        ("http", "bad_port", '"http" in "http" is no port'),
        ("8080:", "bad_port", "host:guest as 18081:8080"),
        ("-80", "bad_port", '"-80"'),
        ("٣", "bad_port", "is no port"),
        ("0", "bad_port", "Ports go from 1 to 65535"),
        ("65536", "bad_port", "65536"),
        ("127.0.0.1", "bad_port", '"127.0.0.1"'),
        ("9005-9000", "bad_range", "Write 9000-9005"),
        ("9000-9005:7000", "range_mismatch", "9000-9005:7000-7005"),
        ("9000-9005:65535", "range_mismatch", "9000-9005:65530-65535"),
        ("localhost:80:80", "bad_address", '"localhost"'),
        ("localhost:80", "bad_address", '"localhost"'),
        ("300.0.0.1:80:80", "bad_address", "127.0.0.1"),
        ("224.0.0.1:80:80", "bad_address", "224.0.0.1"),
        ("10:20:30", "bad_address", '"10"'),
        ("[::1]:80:80", "bad_address", "IPv6 is not forwarded"),
        ("80/sctp", "bad_protocol", "8080/udp"),
        ("80,80", "duplicate_port", "Port 80/tcp of 127.0.0.1 is given twice"),
        ("9000-9005,9003", "duplicate_port", "9003"),
        ("80,127.0.0.1:80", "duplicate_port", "127.0.0.1"),
        ("0.0.0.0:80,127.0.0.2:80", "duplicate_port", "80/tcp"),
        ("127.0.0.2:80,0.0.0.0:80", "duplicate_port", "80/tcp"),
        (f"1-{MAX_PORTS + 1}", "too_many_ports", str(MAX_PORTS)),
        ("1-1000,2001-2100", "too_many_ports", '"2001-2100"'),
        (" " * MAX_TEXT + "80", "too_many_ports", str(MAX_PORTS)),
    ],
)
def test_refuses_in_words_that_help(text, code, words):
    with pytest.raises(PortError) as caught:
        parse_ports(text)
    assert caught.value.code == code
    assert words in caught.value.message


def test_counts_and_compares_over_both_lists():
    with pytest.raises(PortError, match="more than 1024"):
        parse_ports("1-1024", "1")
    with pytest.raises(PortError, match="53/udp of 127.0.0.1 is given twice"):
        parse_ports("53/udp", "53")
    with pytest.raises(PortError, match="TCP port in the list of UDP ports"):
        parse_ports("80", "53/tcp")
    assert len(parse_ports("1-1000", "1-24")) == MAX_PORTS


def test_an_error_repeats_hostile_text_short_and_printable():
    with pytest.raises(PortError) as caught:
        parse_ports("\x1b[2J\n" + "x" * 5000)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("text", ["8080", "80,443", "9000-9005:7000-7005,127.0.0.1:53:5353/udp", "80-81,80-81/udp"])
def test_prints_the_compact_form(text):
    assert format_ports(parse_ports(text)) == text


@st.composite
def runs(draw):
    """A run of neighbouring forwards, as one part of the grammar makes them."""
    length = draw(st.integers(1, 5))
    protocol, address = draw(st.sampled_from(["tcp", "udp"])), draw(st.sampled_from([None, "127.0.0.2", "192.0.2.7"]))
    host, guest = (draw(st.integers(1, 65536 - length)) for _ in "hg")
    return [PortMap(protocol, address, host + step, guest + step) for step in range(length)]


@given(st.lists(runs(), max_size=20))
def test_reading_undoes_printing(lists):
    maps = tuple({(item.protocol, item.host_address, item.host_port): item for run in lists for item in run}.values())
    assert parse_ports(format_ports(maps)) == maps


@given(st.text(max_size=40) | st.text("0123456789-:,./udp ", max_size=40))
def test_any_text_is_read_or_refused_with_a_sentence(text):
    """SEC-D1: nothing but numbers and canonical addresses comes out of a person's text."""
    result = _result(text)
    if isinstance(result, PortError):
        assert result.message.endswith(".")
    else:
        assert parse_ports(format_ports(result)) == result


def _result(text: str) -> tuple[PortMap, ...] | PortError:
    try:
        return parse_ports(text)
    except PortError as error:
        return error
