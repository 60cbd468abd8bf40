"""What a save would change on the host, as text: links, addresses, filter, the files of dnsmasq. Pure: it compares two plans."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from uuid import UUID

from networks.fabric import dnsmasq_text
from networks.fabric import filter as filter_text
from networks.fabric.base import Mode, NetworkPlan

AROUND = 2  # lines of what stays, around a change


@dataclass(frozen=True)
class Line:
    """One line; `mark` is "+" for what comes, "-" for what goes, "" for what stays, "…" for what was left out."""

    mark: str
    text: str


@dataclass(frozen=True)
class Section:
    """One kind of thing on the host."""

    title: str
    lines: tuple[Line, ...]

    @property
    def added(self) -> int:
        """Lines that come."""
        return sum(line.mark == "+" for line in self.lines)

    @property
    def removed(self) -> int:
        """Lines that go."""
        return sum(line.mark == "-" for line in self.lines)


def difference(before: NetworkPlan | None, after: NetworkPlan) -> list[Section]:
    """The sections in which the plans differ; all of `after` when there was nothing."""
    old = texts(before) if before else {}
    pairs = [(title, old.get(title, ()), new) for title, new in texts(after).items()]
    return [Section(title, tuple(_lines(mine, new))) for title, mine, new in pairs if tuple(mine) != tuple(new)]


def texts(plan: NetworkPlan) -> dict[str, Sequence[str]]:
    """Title → lines, of everything that a network is on the host."""
    paths = dnsmasq_text.Paths(Path(plan.bridge))
    files = {"dnsmasq": dnsmasq_text.conf(plan, paths), "Reservations": dnsmasq_text.reservations(plan), "Names": dnsmasq_text.hosts(plan)}
    served = files if dnsmasq_text.is_needed(plan) else {}
    return {
        "Links": _links(plan),
        "Addresses": _addresses(plan),
        "Filter": _filter(plan),
        **{title: text.splitlines() for title, text in served.items()},
    }


def _filter(plan: NetworkPlan) -> list[str]:
    """Its lines of the two tables, each with the set or chain that it stands in; not those of every network."""
    tag = plan.bridge[2:6]
    common = set(_flat(filter_text.render(tag, [replace(_NOTHING, bridge=f"ow{tag}{_NOTHING.id.hex[:8]}b")])))
    return [line for line in _flat(filter_text.render(tag, [plan])) if line not in common]


_NOTHING = NetworkPlan(UUID(int=0), "nothing", "", Mode.ISOLATED, "10.255.255.248/29", "10.255.255.249", dhcp=False)


def _flat(text: str) -> Iterator[str]:
    """nft's text, one line for each that says something, behind the names of the blocks around it."""
    around: list[str] = []
    for line in map(str.strip, text.splitlines()):
        if line.endswith("{"):
            around.append(line.removesuffix("{").strip().removesuffix(" ="))
        elif line == "}":
            around.pop()
        elif line and around and not line.startswith("packets "):
            yield ": ".join([*(name for name in around[1:] if name != "elements"), line.removesuffix(",")])


def _links(plan: NetworkPlan) -> list[str]:
    lines = [f"bridge {plan.bridge} mtu {plan.mtu} up"]
    if plan.mode is Mode.UPLINK:
        lines.append(f"{plan.adapter} master {plan.bridge}")
    return lines + [f"tap {nic.tap} master {plan.bridge}  # {nic.name}, while it runs" for nic in plan.nics]


def _addresses(plan: NetworkPlan) -> list[str]:
    if plan.mode is Mode.UPLINK:
        return [f"# {plan.adapter} hands its own addresses and routes to {plan.bridge}"]
    return [f"{gateway}/{cidr.partition('/')[2]} dev {plan.bridge}" for gateway, cidr in _gateways(plan)]


def _gateways(plan: NetworkPlan) -> list[tuple[str, str]]:
    return [(gateway, cidr) for gateway, cidr in ((plan.gateway4, plan.cidr4), (plan.gateway6, plan.cidr6)) if cidr]


def _lines(old: Sequence[str], new: Sequence[str]) -> Iterator[Line]:
    for kind, old_first, old_last, new_first, new_last in SequenceMatcher(a=list(old), b=list(new), autojunk=False).get_opcodes():
        if kind == "equal":
            yield from _around(old[old_first:old_last], is_first=not old_first, is_last=old_last == len(old))
        else:
            yield from (Line("-", text) for text in old[old_first:old_last])
            yield from (Line("+", text) for text in new[new_first:new_last])


def _around(same: Sequence[str], *, is_first: bool, is_last: bool) -> Iterator[Line]:
    """What stays, without the middle of it that tells nothing."""
    head, tail = 0 if is_first else AROUND, 0 if is_last else AROUND
    if len(same) <= head + tail:
        yield from (Line("", text) for text in same)
        return
    yield from (Line("", text) for text in same[:head])
    yield Line("…", f"{len(same) - head - tail} lines stay")
    yield from (Line("", text) for text in same[len(same) - tail :])
