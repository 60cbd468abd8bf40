"""Rules of a network or of an instance: ordered, whole lists. A list with one bad rule changes nothing: never "no rules" (SEC-F3)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from django.db import transaction

from networks.guests import Guest
from networks.models import Group, Network, Rule
from networks.services.announce import announce_rules
from networks.services.quota import take
from networks.sharing import refuse_users, usable_by
from opsweb.core import access, audit, events
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, Invalid, NotFound
from opsweb.core.hosts import lock_host
from opsweb.teams.services import Usage, lock_team

PORTS = re.compile(r"([0-9]{1,5})(?:\s*-\s*([0-9]{1,5}))?", re.ASCII)
CIDR = re.compile(r"[0-9a-fA-F.:]+(/[0-9]{1,3})?", re.ASCII)
GONE = "gone"  # in place of "network", when that is no more
WITH_PORTS = (Rule.Protocol.TCP, Rule.Protocol.UDP)


@dataclass(frozen=True)
class RuleSpec:
    """One rule as a person writes it."""

    action: str  # "allow" or "deny"
    direction: str  # "in" (to the guest) or "out"
    protocol: str = "any"  # "any", "tcp", "udp", "icmp"
    ports: str = ""  # "80", "9000-9005"; of the destination; "": all
    peer: str = ""  # "10.0.0.0/8", "group:web", "network:br0", "gone:br0" where it was; "": anybody


def set_rules(owner: Network | Guest, specs: Sequence[RuleSpec], *, actor: Actor) -> None:
    """Make the rules of a network, or of an instance, exactly these. An instance's come before its networks'.

    Raises: NotFound, Forbidden; Invalid that says which line; Conflict("quota").
    """
    kind = "network" if isinstance(owner, Network) else "instance"
    if isinstance(owner, Network):
        refuse_users(actor, owner)
    access.require(actor, f"{kind}.rules", owner.team_id)
    if isinstance(owner, Network) and owner.mode == Network.Mode.UPLINK:
        _refuse_names(specs)
    with transaction.atomic():
        lock_team(owner.team_id)
        lock_host(owner.host.pk)
        if not type(owner)._default_manager.filter(pk=owner.pk).exists():  # type: ignore[attr-defined]
            raise NotFound
        _write(Rule(team_id=owner.team_id, **{f"{kind}_id": owner.pk}), specs)
        audit.record(
            actor,
            f"{kind}.rules",
            kind=kind,
            target_id=owner.pk,
            label=owner.name,
            team_id=owner.team_id,
            details={"rules": [sentence(spec) for spec in specs]},
        )
        announce_rules(owner.host)
        events.changed(kind, owner.pk, owner.team_id)


def _refuse_names(specs: Sequence[RuleSpec]) -> None:
    """Who is in a group, and where a network lies, a team says: an admin's rule would mean what it likes."""
    for line, spec in enumerate(specs, 1):
        if spec.peer.strip().partition(":")[0] in ("group", "network"):
            raise _bad(line, "On an uplink a peer is an address or a subnet: what a name means would be its team's to change.")


def _write(owner: Rule, specs: Sequence[RuleSpec]) -> None:
    """`owner`: a rule of nothing yet, with its owner set. A line that stays keeps its row, and so its counter."""
    kept = list(Rule.objects.filter(network=owner.network_id, instance=owner.instance_id))
    take(owner.team_id, Usage(rules=len(specs) - len(kept)))
    for position, spec in enumerate(specs):
        rule = _read(spec, owner, line=position + 1)
        same = next((row for row in kept if _content(row) == _content(rule)), None)
        if same is None:
            _refuse_gone(rule, line=position + 1)
            rule.position = position
            rule.save(force_insert=True)
            continue
        kept.remove(same)
        if same.position != position:
            Rule.objects.filter(pk=same.pk).update(position=position)
    Rule.objects.filter(pk__in=[row.pk for row in kept]).delete()


def _content(rule: Rule) -> tuple[object, ...]:
    peer = (rule.peer_cidr, rule.peer_group_id, rule.peer_network_id, rule.gone_peer)
    return (rule.action, rule.direction, rule.protocol, rule.port_first, rule.port_last, *peer)


def _read(spec: RuleSpec, owner: Rule, line: int) -> Rule:
    """Raises: Invalid that names the line."""
    rule = Rule(team_id=owner.team_id, network_id=owner.network_id, instance_id=owner.instance_id)
    for field, choices in (("action", Rule.Action), ("direction", Rule.Direction), ("protocol", Rule.Protocol)):
        value = getattr(spec, field)
        if value not in choices.values:
            raise _bad(line, f"“{str(value)[:60]}” is no {field}. Take one of {', '.join(choices.values)}.")
        setattr(rule, field, value)
    rule.port_first, rule.port_last = _ports(spec, line)
    _set_peer(rule, spec.peer.strip(), line)
    return rule


def _ports(spec: RuleSpec, line: int) -> tuple[int | None, int | None]:
    text = spec.ports.strip()
    if not text:
        return None, None
    if spec.protocol not in WITH_PORTS:
        raise _bad(line, "Only TCP and UDP have ports. Take one of them, or leave the ports out.")
    match = PORTS.fullmatch(text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last <= 65_535:
        raise _bad(line, f"“{text[:60]}” is no port and no range of ports. Write 80 or 9000-9005.")
    return first, last


def _set_peer(rule: Rule, peer: str, line: int) -> None:
    kind, colon, name = peer.partition(":")
    if colon and kind == "group":
        rule.peer_group = Group.objects.filter(team=rule.team_id, name=name).first()
        if rule.peer_group is None:
            raise _bad(line, f"The team has no group called “{name[:60]}”.")
    elif colon and kind == "network":
        named = usable_by(rule.team_id).filter(name=name).order_by("pk")
        rule.peer_network = named.filter(team=rule.team_id).first() or named.first()  # its own before a shared one
        if rule.peer_network is None:
            raise _bad(line, f"There is no network called “{name[:60]}” that the team may use.")
    elif colon and kind == GONE:
        rule.gone_peer = name
    elif peer:
        rule.peer_cidr = _cidr(peer, line)


def _refuse_gone(rule: Rule, line: int) -> None:
    """Such a line is kept as it is, moved or taken out; nobody writes one. Raises: Invalid."""
    if rule.gone_peer:
        raise _bad(line, f"The network “{rule.gone_peer[:60]}” is gone. Name another peer, or take the rule out.")


def _cidr(text: str, line: int) -> str:
    try:
        network = ip_network(text if CIDR.fullmatch(text) else "", strict=False)
    except ValueError as error:
        raise _bad(line, f"“{text[:60]}” is no peer. Write 10.0.0.0/8, an address, group:NAME or network:NAME.") from error
    address, slash, _ = text.partition("/")
    if slash and ip_address(address) != network.network_address:
        raise _bad(line, f"“{text[:60]}” names one address and a larger network. Did you mean {network}?")
    return str(network)


def _bad(line: int, message: str) -> Invalid:
    return Invalid(f"Rule {line}: {message} No rule was changed.", code="bad_rule", fields={"rules": [line]})


def let_go(network: Network) -> None:
    """Before a network goes. No team keeps another from that: its rules with this peer become ones that fit nothing, never anybody.

    Raises: Conflict("in_use") for a rule of its own team's.
    """
    naming = Rule.objects.filter(peer_network=network).exclude(network=network).select_related("network", "instance")
    if rule := naming.filter(team=network.team_id).first():
        raise Conflict(f"A rule of {owner_of(rule)} speaks of network {network.name}. Change that rule first.", code="in_use")
    owners = {("network", rule.network_id) if rule.network_id else ("instance", rule.instance_id): rule.team_id for rule in naming}
    if not owners:
        return
    naming.update(peer_network=None, gone_peer=network.name)
    announce_rules(network.host)
    for (kind, owner), team in owners.items():
        events.changed(kind, owner, team)


def owner_of(rule: Rule) -> str:
    """What it is a rule of, in words. Select `network` and `instance` with it."""
    return f"network {rule.network.name}" if rule.network else f"instance {rule.instance.name if rule.instance else ''}"


def spec_of(rule: Rule) -> RuleSpec:
    """A row as people write it. Select `peer_group` and `peer_network` with it."""
    ports = "" if rule.port_first is None else _span(rule.port_first, rule.port_last or rule.port_first)
    peer = rule.peer_cidr
    if rule.peer_group is not None:
        peer = f"group:{rule.peer_group.name}"
    elif rule.peer_network is not None:
        peer = f"network:{rule.peer_network.name}"
    elif rule.gone_peer:
        peer = f"{GONE}:{rule.gone_peer}"
    return RuleSpec(rule.action, rule.direction, rule.protocol, ports, peer)


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


WHAT = {"any": "Everything", "tcp": "TCP", "udp": "UDP", "icmp": "ICMP"}


def sentence(rule: RuleSpec | Rule) -> str:
    """The rule in plain words: "TCP to port 80 may come in from group web." """
    spec = spec_of(rule) if isinstance(rule, Rule) else rule
    what = WHAT.get(spec.protocol, spec.protocol)
    if spec.ports:
        what += f" to ports {spec.ports}" if "-" in spec.ports else f" to port {spec.ports}"
    verb = "may" if spec.action == Rule.Action.ALLOW else "may not"
    way = "come in from" if spec.direction == Rule.Direction.IN else "go out to"
    return f"{what} {verb} {way} {_peer(spec.peer)}."


def _peer(peer: str) -> str:
    kind, colon, name = peer.partition(":")
    if colon and kind == GONE:
        return f"network {name}, which is gone: the rule fits nothing"
    return f"{kind} {name}" if colon and kind in ("group", "network") else peer or "anybody"
