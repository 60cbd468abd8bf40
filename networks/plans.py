"""From rows to what the driver acts on: networks with their NICs, rules and forwards, resolved to addresses. Reads only.

The rows are judged once more here, because root acts on the result (SEC-F2): one that can't be is left out, alone (SEC-G2).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from ipaddress import ip_address, ip_network
from uuid import UUID

from django.db.models import Prefetch

from networks.addressing import AddressingError, Net, refuse_reserved
from networks.fabric import values
from networks.fabric.base import Endpoint, FabricError, ForwardPlan, Mode, NetworkPlan, NicPlan, RulePlan
from networks.fabric.filter_values import checked
from networks.fabric.names import bridge_name, tap_name
from networks.models import Network, Nic, PortForward, Rule
from networks.services.texts import check_texts
from networks.sharing import binds
from networks.states import Desired
from opsweb.core.errors import Invalid
from opsweb.core.models import Host
from opsweb.environment import env

LABEL = 63  # characters of a DNS label (RFC 1035, 2.3.4)


def network_plan(network: Network) -> NetworkPlan:
    """What the network is to be. Raises: FabricError("bad_network") for a row that can't be. A constant number of queries."""
    rows = _read([network.pk])
    if not rows:
        raise FabricError("bad_network", f"Network {network.name} is gone.")
    return _Reader(rows).plan(rows[0])


def plans(host: Host, *, held: Collection[Endpoint] = ()) -> list[NetworkPlan]:
    """All networks that are wanted on the host; rows that can't be are left out. A constant number of queries.

    `held`: ports of the host that some stranger listens on; forwards of these lead nowhere, so that nobody's traffic is taken.
    """
    rows = _read(Network.objects.filter(host=host, desired=Desired.PRESENT).values_list("pk", flat=True))
    reader = _Reader(rows, held)
    found = []
    for row in rows:
        with suppress(FabricError):  # its own converge says so
            found.append(reader.plan(row))
    return found


def sound(wanted: Sequence[NetworkPlan]) -> list[NetworkPlan]:
    """Those that the driver takes: one that it does not would keep the filter from all the others."""
    found = []
    for plan in wanted:
        with suppress(FabricError):
            values.check(plan, env.installation)
            checked(env.installation, [plan])
            found.append(plan)
    return found


def _check_row(network: Network) -> None:
    """The rules of the services that the driver does not hold itself; its own are its to say."""
    try:
        check_texts(network)
        refuse_reserved(network.subnet4.network, uplink=network.mode == Mode.UPLINK)
        if network.subnet6 is not None:
            refuse_reserved(network.subnet6.network)
        Mode(network.mode)
    except (Invalid, AddressingError, ValueError, TypeError, AttributeError) as error:
        raise FabricError(
            "bad_network", f"The row of network {str(network.name)[:40]!r} holds what no network can have: {error}"
        ) from error
    if network.uid_offset not in env.network_offsets:
        raise FabricError("bad_network", f"The row of network {network.name} holds a user id that is no network's.")


def _read(ids: Iterable[UUID]) -> list[Network]:
    columns = ("network", "position", "name", "tag", "mac", "address4", "address6", "rate_kbit")
    nics = Nic.objects.select_related("instance__team").only(*columns, "instance__name", "instance__team__name").order_by("pk")
    rules = Rule.objects.select_related("peer_network")
    linked = Network.objects.filter(desired=Desired.PRESENT)
    parts = (Prefetch("nics", nics), Prefetch("rules", rules), Prefetch("linked", linked))
    return list(Network.objects.filter(pk__in=list(ids)).order_by("pk").prefetch_related(*parts))


class _Reader:
    """What several networks share: rules of instances, forwards, members of groups, each other's subnets."""

    def __init__(self, networks: Sequence[Network], held: Collection[Endpoint] = ()) -> None:
        self._held = frozenset(held)
        instances = {nic.instance_id for network in networks for nic in network.nics.all()}
        self._rules: dict[UUID, list[Rule]] = defaultdict(list)
        for rule in Rule.objects.filter(instance__in=instances).select_related("peer_network"):
            if rule.instance_id is not None:
                self._rules[rule.instance_id].append(rule)
        rules = [rule for network in networks for rule in network.rules.all()] + [rule for own in self._rules.values() for rule in own]
        self._plans: dict[UUID, RulePlan] = {}
        self._groups = _group_addresses({rule.peer_group_id for rule in rules if rule.peer_group_id})
        self._forwards: dict[UUID, list[PortForward]] = defaultdict(list)
        for forward in PortForward.objects.filter(nic__network__in=[network.pk for network in networks]):
            self._forwards[forward.nic_id].append(forward)
        hosts = {network.host_id for network in networks}
        self._subnets = list(Network.objects.filter(host__in=hosts).values_list("pk", "cidr4", "cidr6"))

    def plan(self, network: Network) -> NetworkPlan:
        _check_row(network)
        names, rules = _dns_names(network), list(network.rules.all())
        return NetworkPlan(
            id=network.pk,
            name=network.name,
            bridge=bridge_name(env.installation, network.tag),
            mode=Mode(network.mode),
            cidr4=network.cidr4,
            gateway4=network.gateway4,
            cidr6=network.cidr6,
            gateway6=network.gateway6 or "",
            is_nat6=network.is_nat6,
            adapter=network.adapter if network.mode == Mode.UPLINK else "",
            mtu=network.mtu,
            dhcp=network.dhcp,
            lease_seconds=network.lease_seconds,
            domain=network.full_domain,
            resolvers=self._resolvers(network),
            records=tuple(sorted(network.records.items())),
            nics=tuple(self._nic(nic, names[nic.pk], network, rules) for nic in network.nics.all()),
            linked=tuple(sorted(bridge_name(env.installation, other.tag) for other in network.linked.all())),
            uid=env.uid_base + network.uid_offset,
        )

    def _resolvers(self, network: Network) -> tuple[str, ...]:
        """Not those inside somebody else's network: dnsmasq would carry questions where guests may not go (INV-09)."""
        others = [other for pk, *cidrs in self._subnets if pk != network.pk for other in _sound_cidrs(*cidrs)]
        return tuple(text for text in network.resolvers if not any(ip_address(text) in other for other in others))

    def _nic(self, nic: Nic, name: str, network: Network, of_network: Sequence[Rule]) -> NicPlan:
        own = self._rules[nic.instance_id]
        rules, firm = (own, of_network) if binds(network, nic.instance.team_id) else ((*own, *of_network), ())
        return NicPlan(
            tap=tap_name(env.installation, nic.tag),
            mac=nic.mac,
            name=name,
            address4=nic.address4 or "",
            address6=nic.address6 or "",
            rate_kbit=nic.rate_kbit,
            rules=self._resolved(rules),
            firm=self._resolved(firm),
            forwards=tuple(
                ForwardPlan(_public(forward), forward.guest_port)
                for forward in self._forwards[nic.pk]
                if not forward.is_withdrawn and _public(forward) not in self._held
            ),
        )

    def _resolved(self, rules: Iterable[Rule]) -> tuple[RulePlan, ...]:
        return tuple(self._plans.get(rule.pk) or self._plans.setdefault(rule.pk, self._rule(rule)) for rule in rules)

    def _rule(self, rule: Rule) -> RulePlan:
        return RulePlan(
            id=rule.pk,
            allow=rule.action == Rule.Action.ALLOW,
            inbound=rule.direction == Rule.Direction.IN,
            protocol=rule.protocol,
            ports=None if rule.port_first is None else (rule.port_first, rule.port_last or rule.port_first),
            peers=self._peers(rule),
        )

    def _peers(self, rule: Rule) -> tuple[str, ...] | None:
        """A group without addresses is nobody, not anybody; so is a network that is gone."""
        if rule.gone_peer:
            return ()
        if rule.peer_cidr:
            return (rule.peer_cidr,)
        if rule.peer_group_id is not None:
            return self._groups.get(rule.peer_group_id, ())
        if rule.peer_network is not None:
            return tuple(map(str, _sound_cidrs(rule.peer_network.cidr4, rule.peer_network.cidr6)))
        return None


def _sound_cidrs(*cidrs: str) -> list[Net]:
    """Of another network's row, which is not to stop this one when it can't be (SEC-G2)."""
    found = []
    for cidr in filter(None, cidrs):
        with suppress(ValueError):
            found.append(ip_network(cidr))
    return found


def _public(forward: PortForward) -> Endpoint:
    return Endpoint(forward.protocol, forward.host_address, forward.host_port)


def _group_addresses(groups: Collection[UUID]) -> dict[UUID, tuple[str, ...]]:
    members = Nic.objects.filter(instance__groups__in=groups).exclude(network=None).values_list("instance__groups", "address4", "address6")
    found: dict[UUID, set[str]] = defaultdict(set)
    for group, address4, address6 in members:
        found[group] |= {f"{address4}/32"} | ({f"{address6}/128"} if address6 else set())
    return {group: tuple(sorted(addresses)) for group, addresses in found.items()}


def _dns_names(network: Network) -> dict[UUID, str]:
    """NIC id → its label in the network's domain: the instance's name; of another team's instance with the team's name behind it.

    So nobody takes a name that meant somebody else's guest (INV-09). Behind a second NIC's stands its own name.
    """
    nics = sorted(network.nics.all(), key=lambda nic: (nic.instance.team_id != network.team_id, nic.position, nic.instance.team_id))
    names: dict[UUID, str] = {}
    stems: dict[UUID, str] = {}
    taken = set(network.records)
    for nic in nics:
        name, tag = nic.instance.name, f"-{nic.tag}"
        bare = [name] if nic.instance.team_id == network.team_id else []
        stem = stems.get(nic.instance_id) or _first_free(taken, *bare, f"{name}-{nic.instance.team.name}", name + tag)
        label = _first_free(taken, stem, f"{stem}-{nic.name}", f"{stem[: LABEL - len(tag)]}{tag}")
        stems[nic.instance_id], names[nic.pk] = stem, label
        taken.add(label)
    return names


def _first_free(taken: Collection[str], *labels: str) -> str:
    """The last is unique by itself."""
    fitting = (label for label in labels[:-1] if label not in taken and len(label) <= LABEL)
    return next(fitting, labels[-1])
