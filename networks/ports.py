"""The grammar of port forwards: what OPS takes after -p/--port and in RunConfig.Ports and UDPPorts, and a little more.

Pure. Forms, REST schemas, config.json and the command line's server side parse with it; pages print with it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

MAX_PORTS = 1024  # forwards of one instance
MAX_TEXT = 64 * 1024  # characters; far more than MAX_PORTS well-written parts need
DEFAULT_ADDRESS = "127.0.0.1"  # where a forward listens when none is written
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - compared with, never bound here

_PORTS = re.compile(r"([0-9]{1,5})(?:\s*-\s*([0-9]{1,5}))?", re.ASCII)
_SHOWN = 60  # characters of a person's text that an error repeats


class PortError(ValueError):
    """A text that is no port forward. `code` is stable and for programs; `message` quotes the part and says what to write.

    Codes: "empty_port", "bad_port", "bad_range", "range_mismatch", "bad_address", "bad_protocol", "duplicate_port", "too_many_ports".
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class PortMap:
    """One port of the host that leads to one port of the guest."""

    protocol: str  # "tcp" or "udp"
    host_address: str | None  # IPv4; None where none was written: DEFAULT_ADDRESS
    host_port: int
    guest_port: int


def parse_ports(ports: str | Iterable[str], udp_ports: str | Iterable[str] = ()) -> tuple[PortMap, ...]:
    """Read forwards such as "8080", "80,443", "9000-9005", "18081:8080", "127.0.0.1:53:5353/udp"; one PortMap a port, in their order.

    `udp_ports` is the same grammar where UDP is meant without saying so. Raises: PortError.
    """
    found: list[PortMap] = []
    for texts, protocol in ((ports, "tcp"), (udp_ports, "udp")):
        for text in (texts,) if isinstance(texts, str) else texts:
            for part in _parts(text):
                found.extend(_expand(part, protocol, room=MAX_PORTS - len(found)))
    _refuse_duplicates(found)
    return tuple(found)


def format_ports(maps: Sequence[PortMap]) -> str:
    """The shortest text that `parse_ports` reads as exactly these: "8080,9000-9005:7000-7005,127.0.0.1:53:5353/udp"."""
    return ",".join(_format_run(first, last) for first, last in _runs(maps))


def _parts(text: str) -> list[str]:
    if len(text) > MAX_TEXT:
        raise PortError("too_many_ports", f"The list of ports is {len(text)} characters long; at most {MAX_PORTS} ports fit an instance.")
    return [part.strip() for part in text.split(",")] if text.strip() else []


def _expand(part: str, default_protocol: str, room: int) -> Iterator[PortMap]:
    if not part:
        raise PortError("empty_port", "There is a comma with no port beside it. Write the ports as 80,443.")
    body, slash, suffix = part.partition("/")
    protocol = _protocol(suffix.strip(), default_protocol, part) if slash else default_protocol
    address, host, guest = _fields(body, part)
    if len(host) != len(guest):
        raise PortError("range_mismatch", _mismatch(part, host, guest))
    if len(host) > room:
        raise PortError("too_many_ports", f"With {_quoted(part)} there are more than {MAX_PORTS} ports; an instance takes no more.")
    return (PortMap(protocol, address, *pair) for pair in zip(host, guest, strict=True))


def _fields(body: str, part: str) -> tuple[str | None, range, range]:
    fields = [field.strip() for field in body.split(":")]
    if "[" in body or len(fields) > 3:
        raise PortError("bad_address", f"{_quoted(part)} has no IPv4 address. Write it as 127.0.0.1:18081:8080; IPv6 is not forwarded.")
    address = None
    if len(fields) == 3 or (len(fields) == 2 and _is_address_like(fields[0])):
        address = _address(fields.pop(0), part)
    ranges = [_range(field, part) for field in fields]
    return address, ranges[0], ranges[-1]


def _is_address_like(field: str) -> bool:
    return "." in field or field[:1].isalpha()


def _address(field: str, part: str) -> str:
    try:
        address = IPv4Address(field)
    except AddressValueError:
        address = None
    if address is None or address.is_multicast or address.is_reserved:
        raise PortError("bad_address", f"{_quoted(field)} in {_quoted(part)} is no IPv4 address to listen on. Write one such as 127.0.0.1.")
    return str(address)


def _range(field: str, part: str) -> range:
    match = _PORTS.fullmatch(field)
    if match is None:
        forms = "a number as 8080, a range as 9000-9005, host:guest as 18081:8080"
        raise PortError("bad_port", f"{_quoted(field)} in {_quoted(part)} is no port. Write {forms}.")
    first = int(match[1])
    last = int(match[2] or first)
    for port in (first, last):
        if not 1 <= port <= 65535:
            raise PortError("bad_port", f"{port} in {_quoted(part)} is no port. Ports go from 1 to 65535.")
    if last < first:
        raise PortError("bad_range", f"The range in {_quoted(part)} runs backwards. Write {last}-{first}.")
    return range(first, last + 1)


def _protocol(suffix: str, default: str, part: str) -> str:
    protocol = suffix.lower()
    if protocol not in ("tcp", "udp"):
        raise PortError("bad_protocol", f"{_quoted(suffix)} in {_quoted(part)} is no protocol. Write 8080/tcp or 8080/udp.")
    if default == "udp" and protocol == "tcp":
        raise PortError("bad_protocol", f"{_quoted(part)} is a TCP port in the list of UDP ports. Write it in the list of ports.")
    return protocol


def _mismatch(part: str, host: range, guest: range) -> str:
    start = min(guest[0], 65536 - len(host))
    meant = f"{_span(host[0], host[-1])}:{_span(start, start + len(host) - 1)}"
    return f"The sides of {_quoted(part)} differ in length: {len(host)} and {len(guest)} ports. Write both alike, such as {meant}."


def _refuse_duplicates(maps: Iterable[PortMap]) -> None:
    taken: dict[tuple[str, int], set[str]] = {}
    for item in maps:
        address = item.host_address or DEFAULT_ADDRESS
        others = taken.setdefault((item.protocol, item.host_port), set())
        # A listener on every address leaves no room for one on a single address, and the other way round.
        if address in others or ANY_ADDRESS in others or (others and address == ANY_ADDRESS):
            raise PortError("duplicate_port", f"Port {item.host_port}/{item.protocol} of {address} is given twice. Leave one of them out.")
        others.add(address)


def _runs(maps: Sequence[PortMap]) -> Iterator[tuple[PortMap, PortMap]]:
    start = 0
    for index in range(1, len(maps) + 1):
        if index == len(maps) or maps[index] != _next(maps[index - 1]):
            yield maps[start], maps[index - 1]
            start = index


def _next(item: PortMap) -> PortMap:
    return PortMap(item.protocol, item.host_address, item.host_port + 1, item.guest_port + 1)


def _format_run(first: PortMap, last: PortMap) -> str:
    text = _span(first.host_port, last.host_port)
    if first.guest_port != first.host_port:
        text += ":" + _span(first.guest_port, last.guest_port)
    if first.host_address is not None:
        text = f"{first.host_address}:{text}"
    return text + ("/udp" if first.protocol == "udp" else "")


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _quoted(text: str) -> str:
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return '"' + "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in shown) + '"'
