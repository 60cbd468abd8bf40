"""Rules of networks and instances → nft chains. NICs with the same rules share a chain, rules with the same peers a set. Pure.

A chain returns what it allows. So of two lists that both hold, the one's chain starts with a jump to the other's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from uuid import UUID

from networks.fabric.base import Count, NicPlan, RulePlan
from networks.fabric.nft_text import braces, chain, counter, named_set

_PREFIX = "rule_"

Rules = tuple[RulePlan, ...]


def counter_name(rule: UUID) -> str:
    """Of the counter of what a rule decided."""
    return f"{_PREFIX}{rule.hex}"


def rule_of(name: str) -> UUID | None:
    """The rule whose counter has this name, or None."""
    return UUID(name.removeprefix(_PREFIX)) if name.startswith(_PREFIX) else None


def inbound(rules: Rules) -> Rules:
    """Those that judge what goes to the guest."""
    return tuple(rule for rule in rules if rule.inbound)


def outbound(rules: Rules) -> Rules:
    """Those that judge what comes from the guest."""
    return tuple(rule for rule in rules if not rule.inbound)


def for_many(rules: Rules) -> Rules:
    """Those inbound ones that may stop a broadcast or multicast, which is never TCP; none when all they do is allow."""
    of_many = tuple(rule for rule in inbound(rules) if rule.protocol != "tcp")
    return of_many if any(not rule.allow for rule in of_many) else ()


class RuleBook:
    """Chains, sets and counters for some of the rules of some NICs. `ways` names the kinds of chains: which rules each has."""

    def __init__(self, nics: Iterable[NicPlan], ways: Mapping[str, Callable[[Rules], Rules]]) -> None:
        self._chains: dict[tuple[str, Rules, str | None], str] = {}  # by way, rules, and the chain that judges before
        self._chain_of: dict[tuple[str, int, int], str | None] = {}
        self._lists = {_lists_of(nic): (nic.firm, nic.rules) for nic in nics}
        for way, select in ways.items():
            for (one, other), (firm, rules) in self._lists.items():
                self._chain_of[way, one, other] = self._chain(way, select(rules), self._chain(way, select(firm)))
        rules_by_id = {rule.id: rule for _, rules, _ in self._chains for rule in rules}
        self._rules = [rules_by_id[number] for number in sorted(rules_by_id)]
        lists = {family for rule in self._rules for family in _families(rule).values() if len(family) > 1}
        self._sets = {peers: f"peers_{number}" for number, peers in enumerate(sorted(lists), 1)}

    def chain(self, way: str, nic: NicPlan) -> str | None:
        """The chain that judges what goes this way from or to the NIC, if any of its rules does."""
        return self._chain_of[(way, *_lists_of(nic))]

    def _chain(self, way: str, rules: Rules, before: str | None = None) -> str | None:
        if not rules:
            return before
        return self._chains.setdefault((way, rules, before), f"{way}_{len(self._chains) + 1}")

    def text(self, counts: Mapping[UUID, Count]) -> str:
        """Counters, sets and chains, before whatever jumps to them."""
        parts = [counter(counter_name(rule.id), counts.get(rule.id, (0, 0))) for rule in self._rules]
        for peers, name in self._sets.items():
            kind = "type ipv6_addr" if ":" in peers[0] else "type ipv4_addr"
            parts.append(named_set(name, kind, peers, flags="interval"))
        for (_, rules, before), name in self._chains.items():
            lines = [f"jump {before}"] if before else []
            parts.append(chain(name, (*lines, *(line for rule in rules for line in self._lines(rule)))))
        return "".join(parts)

    def _lines(self, rule: RulePlan) -> list[str]:
        """One line, or one for each family of its peers; none for a rule that fits nobody."""
        peer = "saddr" if rule.inbound else "daddr"
        end = f"counter name {counter_name(rule.id)} {'return' if rule.allow else 'drop'}"
        what = _protocol(rule)
        if rule.peers is None:
            return [f"{what}{end}"]
        families = _families(rule)
        return [f"{what}{family} {peer} {self._one_of(peers)} {end}" for family, peers in families.items()]

    def _one_of(self, peers: tuple[str, ...]) -> str:
        return f"@{self._sets[peers]}" if len(peers) > 1 else peers[0]


def _lists_of(nic: NicPlan) -> tuple[int, int]:
    """NICs under the same rules share one tuple (filter_values), whose id is quicker to look up than what it holds."""
    return id(nic.firm), id(nic.rules)


def _families(rule: RulePlan) -> dict[str, tuple[str, ...]]:
    peers: Sequence[str] = rule.peers or ()
    split = {"ip": tuple(p for p in peers if ":" not in p), "ip6": tuple(p for p in peers if ":" in p)}
    return {family: of_family for family, of_family in split.items() if of_family}


def _protocol(rule: RulePlan) -> str:
    if rule.protocol == "any":
        return ""
    if rule.protocol == "icmp":
        return f"meta l4proto {braces(('icmp', 'ipv6-icmp'))} "
    if rule.ports is None:
        return f"meta l4proto {rule.protocol} "
    first, last = rule.ports
    return f"{rule.protocol} dport {first if first == last else f'{first}-{last}'} "
