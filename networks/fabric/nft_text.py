"""Words of nft(8)'s language that the renderers of guard and filter share. Pure; whoever calls has checked the values."""

from collections.abc import Iterable, Mapping

from networks.fabric.base import Count

_LEAST_BITS = 6
_MOST = 65_536  # elements of a set that the kernel fills itself


def braces(elements: Iterable[str]) -> str:
    """An anonymous set. nft takes none that is empty."""
    return "{ " + ", ".join(elements) + " }"


def chain(name: str, rules: Iterable[str]) -> str:
    """A chain, its rules in order."""
    return f"\tchain {name} {{\n" + "".join(f"\t\t{rule}\n" for rule in rules) + "\t}\n"


def base_chain(name: str, kind: str, hook: str, priority: str, rules: Iterable[str]) -> str:
    """A chain that the kernel calls at a hook. It accepts what none of its rules decides."""
    return chain(name, [f"type {kind} hook {hook} priority {priority}; policy accept;", *rules])


def counter(name: str, count: Count) -> str:
    """A named counter that goes on from `count`."""
    packets, octets = (int(number) for number in count)
    return f"\tcounter {name} {{\n\t\tpackets {packets} bytes {octets}\n\t}}\n"


def named_set(name: str, kind: str, elements: Iterable[str], flags: str = "") -> str:
    """A set, maybe empty. `kind` is e.g. "type ifname . ipv4_addr"."""
    return _collection("set", name, kind, elements, flags)


def named_map(name: str, kind: str, elements: Mapping[str, str]) -> str:
    """A map, maybe empty. `kind` is e.g. "type ipv4_addr : verdict"."""
    return _collection("map", name, kind, (f"{key} : {value}" for key, value in elements.items()), "")


def _collection(word: str, name: str, kind: str, elements: Iterable[str], flags: str) -> str:
    listed = list(elements)
    lines = [kind, f"flags {flags}" if flags else f"size {_size(len(listed))}"]
    if flags == "dynamic":
        lines.append(f"size {_MOST}")
    if listed:
        joined = ",\n\t\t\t".join(listed)
        lines.append(f"elements = {{\n\t\t\t{joined}\n\t\t}}")
    return f"\t{word} {name} {{\n" + "".join(f"\t\t{line}\n" for line in lines) + "\t}\n"


def _size(count: int) -> int:
    """Room for `count` elements and a few more. Where it knows the size, the kernel takes its quicker kind of hash table."""
    return 1 << max(_LEAST_BITS, (count - 1).bit_length())


# A SYN is answered with a reset: connect(2) holds the socket's lock and would take an ICMP error only at its first retry, 1 s on.
# Anything else gets ICMP, which an established connection survives: it may be one that conntrack has yet to learn of.
REJECTS = ("tcp flags & (syn | ack) == syn reject with tcp reset", "reject with icmpx admin-prohibited")
