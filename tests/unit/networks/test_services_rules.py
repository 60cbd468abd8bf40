"""networks.services.rules and groups: whole lists or nothing, sentences, who may, what they become for the driver."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.models import Instance
from networks.fabric.base import RulePlan
from networks.models import Group, Network, Rule
from networks.plans import network_plan, plans
from networks.services import groups, networks
from networks.services.nics import NicSpec, set_nics
from networks.services.rules import RuleSpec, _read, sentence, set_rules, spec_of
from opsweb.core.access import SYSTEM, Actor
from opsweb.core.errors import Conflict, Forbidden, Invalid, NotFound
from opsweb.core.models import AuditEntry, Host
from opsweb.teams.models import Team
from tests.conftest import SentTasks, nothing_changes
from tests.unit.networks.conftest import MakeNetwork

GOOD = (
    RuleSpec("allow", "in", "tcp", "80"),
    RuleSpec("allow", "in", "udp", "9000-9005", "10.0.0.0/8"),
    RuleSpec("allow", "out", "icmp", "", "fd00::/8"),
    RuleSpec("deny", "in", peer="192.168.33.7"),
    RuleSpec("deny", "out"),
)


def written(owner: Network | Instance) -> list[RuleSpec]:
    return [spec_of(rule) for rule in owner.rules.all()]


def test_they_become_exactly_these(make_network: MakeNetwork, olgas: Actor, sent: SentTasks) -> None:
    network = make_network()
    set_rules(network, GOOD, actor=olgas)
    assert written(network) == [*GOOD[:3], RuleSpec("deny", "in", peer="192.168.33.7/32"), GOOD[4]]
    assert sent == [("networks.keep_filter", (str(network.host_id),))]
    assert AuditEntry.objects.get(verb="network.rules").details["rules"][0] == "TCP to port 80 may come in from anybody."


@pytest.mark.parametrize("peer", ["group:web", " network:lan"])
def test_an_uplinks_rules_speak_of_nothing_that_a_team_changes(make_network: MakeNetwork, team: Team, sent: SentTasks, peer: str) -> None:
    """Whoever may change the group would lift what an admin denies."""
    groups.create(team, "web", actor=SYSTEM)
    make_network(name="lan")
    network = make_network(mode="uplink", adapter="eth1", cidr4="192.168.77.1/24")
    set_rules(network, GOOD, actor=SYSTEM)
    with nothing_changes(Rule, AuditEntry), pytest.raises(Invalid, match="Rule 2: On an uplink a peer is an address") as refusal:
        set_rules(network, [GOOD[0], RuleSpec("deny", "in", peer=peer)], actor=SYSTEM)
    assert refusal.value.code == "bad_rule"


def test_a_line_that_stays_keeps_its_counter(make_network: MakeNetwork, olgas: Actor) -> None:
    network = make_network()
    set_rules(network, GOOD[:3], actor=olgas)
    ids = [rule.pk for rule in network.rules.all()]
    set_rules(network, [GOOD[2], GOOD[4], GOOD[0], GOOD[0]], actor=olgas)
    now = [rule.pk for rule in network.rules.all()]
    assert (now[0], now[2]) == (ids[2], ids[0])
    assert ids[1] not in now
    assert len(set(now)) == 4


@pytest.mark.parametrize(
    "spec",
    [
        RuleSpec("permit", "in"),
        RuleSpec("deny", "sideways"),
        RuleSpec("deny", "in", "sctp"),
        RuleSpec("deny", "in", "any", "80"),
        RuleSpec("deny", "in", "icmp", "8"),
        RuleSpec("deny", "in", "tcp", "0"),
        RuleSpec("deny", "in", "tcp", "65536"),
        RuleSpec("deny", "in", "tcp", "90-80"),
        RuleSpec("deny", "in", "tcp", "80 accept"),
        RuleSpec("deny", "in", peer="10.0.0.0/33"),
        RuleSpec("deny", "in", peer="10.0.0.5/8"),
        RuleSpec("deny", "in", peer="fd00::1%eth0"),
        RuleSpec("deny", "in", peer="anybody"),
        RuleSpec("deny", "in", peer="group:nobody"),
        RuleSpec("deny", "in", peer="network:nowhere"),
        RuleSpec("deny", "in", peer="network:theirs"),
        RuleSpec("deny", "in", peer="group:theirs"),
        RuleSpec("deny", "in", peer="group:"),
    ],
)
def test_one_bad_line_changes_nothing(make_network: MakeNetwork, olgas: Actor, sent: SentTasks, other_team: Team, spec: RuleSpec) -> None:
    """SEC-F3, CVE-2014-0187: an invalid rule never means "no rules"."""
    make_network(other_team, name="theirs")
    Group.objects.create(team=other_team, name="theirs")
    network = make_network()
    set_rules(network, GOOD, actor=olgas)
    sent.clear()
    with nothing_changes(Rule, AuditEntry), pytest.raises(Invalid) as refusal:
        set_rules(network, [RuleSpec("allow", "in"), spec], actor=olgas)
    assert (refusal.value.code, refusal.value.fields) == ("bad_rule", {"rules": [2]})
    assert refusal.value.message.startswith("Rule 2: ")
    assert sent == []


@given(st.text(max_size=30), st.text(max_size=30))
@pytest.mark.django_db(transaction=False)
def test_whatever_is_written_is_a_rule_or_a_refusal(ports: str, peer: str) -> None:
    """SEC-D1."""
    owner = Rule(team_id=1)
    try:
        rule = _read(RuleSpec("deny", "in", "tcp", ports, peer), owner, 1)
    except Invalid:
        return
    assert rule.port_first is None or 1 <= rule.port_first <= (rule.port_last or 0) <= 65_535
    assert set(rule.peer_cidr) <= set("0123456789abcdef.:/")


def test_who_may(make_network: MakeNetwork, stopped: Instance, vics: Actor, nobodys: Actor, other_team: Team) -> None:
    """INV-14, INV-15."""
    network = make_network()
    for owner in (network, stopped):
        for actor, kind in ((vics, Forbidden), (nobodys, NotFound)):
            with nothing_changes(Rule, AuditEntry), pytest.raises(kind):
                set_rules(owner, GOOD, actor=actor)
    shared = make_network(other_team, shared_with=[stopped.team])
    with nothing_changes(Rule, AuditEntry), pytest.raises(Forbidden):
        set_rules(shared, GOOD, actor=vics)
    gone = make_network()
    Network.objects.filter(pk=gone.pk).delete()
    with nothing_changes(Rule, AuditEntry), pytest.raises(NotFound):
        set_rules(gone, GOOD, actor=SYSTEM)


def test_the_quota_holds(make_network: MakeNetwork, stopped: Instance, olgas: Actor) -> None:
    """INV-13, SEC-G3."""
    Team.objects.update(quota_rules=6)
    network = make_network()
    set_rules(network, GOOD, actor=olgas)
    with nothing_changes(Rule), pytest.raises(Conflict) as refusal:
        set_rules(stopped, GOOD[:2], actor=olgas)
    assert refusal.value.code == "quota"
    set_rules(stopped, GOOD[:1], actor=olgas)
    set_rules(network, GOOD[::-1], actor=olgas)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (RuleSpec("allow", "in", "tcp", "80", "group:web"), "TCP to port 80 may come in from group web."),
        (RuleSpec("deny", "out", "udp", "9000-9005", "network:br1"), "UDP to ports 9000-9005 may not go out to network br1."),
        (RuleSpec("deny", "in"), "Everything may not come in from anybody."),
        (RuleSpec("allow", "out", "icmp", "", "fd00::/8"), "ICMP may go out to fd00::/8."),
    ],
)
def test_a_rule_is_a_sentence(spec: RuleSpec, text: str) -> None:
    assert sentence(spec) == text


def plan_of(network: Network) -> list[RulePlan]:
    return list(network_plan(network).nics[0].rules)


def test_the_instances_rules_come_before_its_networks(make_network: MakeNetwork, stopped: Instance, olgas: Actor) -> None:
    network = make_network()
    set_nics(stopped, [NicSpec(network)], actor=SYSTEM)
    set_rules(network, GOOD[:2], actor=olgas)
    set_rules(stopped, GOOD[3:], actor=olgas)
    found = plan_of(network)
    assert [(rule.allow, rule.inbound, rule.protocol, rule.ports, rule.peers) for rule in found] == [
        (False, True, "any", None, ("192.168.33.7/32",)),
        (False, False, "any", None, None),
        (True, True, "tcp", (80, 80), None),
        (True, True, "udp", (9000, 9005), ("10.0.0.0/8",)),
    ]


def test_a_group_is_its_members_addresses(make_network: MakeNetwork, make_instance: Any, olgas: Actor, sent: SentTasks) -> None:
    network, other = make_network(cidr6="fd00:1::/64"), make_network()
    web, db, user = (make_instance(name) for name in ("web", "db", "user"))
    set_nics(web, [NicSpec(network), NicSpec(other)], actor=SYSTEM)
    set_nics(db, [NicSpec(network)], actor=SYSTEM)
    group = groups.create(web.team, "web", [web.pk, user.pk], actor=olgas)
    set_rules(network, [RuleSpec("allow", "in", peer="group:web"), RuleSpec("deny", "out", peer="network:br1")], actor=olgas)
    rules = plan_of(network)
    assert rules[0].peers == ("192.168.33.2/32", "192.168.34.2/32", "fd00:1::2/128")
    assert rules[1].peers == ("192.168.34.0/24",)
    sent.clear()
    groups.edit(group, instances=[user.pk], actor=olgas)
    assert sent == [("networks.keep_filter", (str(web.host_id),))]
    assert plan_of(network)[0].peers == ()  # nobody, and not anybody


def test_plans_take_as_many_queries_for_many_as_for_few(
    make_network: MakeNetwork, make_instance: Any, host: Host, olgas: Actor, django_assert_num_queries: Any
) -> None:
    def fill(number: int) -> None:
        network, instance = make_network(), make_instance(f"web{number}", ports=((8000 + number, 80),))
        set_nics(instance, [NicSpec(network), NicSpec(network)], actor=SYSTEM)
        group = groups.create(instance.team, f"g{number}", [instance.pk], actor=olgas)
        set_rules(network, [*GOOD, RuleSpec("deny", "in", peer=f"group:{group.name}")], actor=olgas)
        set_rules(instance, [RuleSpec("deny", "in", peer=f"network:{network.name}")], actor=olgas)

    fill(0)
    with django_assert_num_queries(9):
        plans(host)
    for number in range(1, 4):
        fill(number)
    with django_assert_num_queries(9):
        assert len(plans(host)) == 4


def test_groups_have_names_and_members_of_their_own(
    make_instance: Any, foreign: Instance, olgas: Actor, vics: Actor, nobodys: Actor
) -> None:
    """INV-14, INV-15."""
    web = make_instance("web")
    group = groups.create(web.team, "web", [web.pk], actor=olgas)
    for actor, kind in ((vics, Forbidden), (nobodys, NotFound)):
        with nothing_changes(Group, AuditEntry), pytest.raises(kind):
            groups.create(web.team, "more", actor=actor)
        with nothing_changes(Group, AuditEntry), pytest.raises(kind):
            groups.edit(group, name="more", actor=actor)
        with nothing_changes(Group, AuditEntry), pytest.raises(kind):
            groups.delete(group, actor=actor)
    with nothing_changes(Group, AuditEntry), pytest.raises(NotFound):
        groups.create(web.team, "more", [foreign.pk], actor=olgas)
    with nothing_changes(Group, AuditEntry), pytest.raises(NotFound):
        groups.edit(group, instances=[foreign.pk], actor=olgas)
    with nothing_changes(Group, AuditEntry), pytest.raises(Conflict) as refusal:
        groups.create(web.team, "web", actor=olgas)
    assert refusal.value.code == "name_taken"
    with nothing_changes(Group, AuditEntry), pytest.raises(Invalid):
        groups.create(web.team, "W b", actor=olgas)
    groups.edit(group, name="front", actor=olgas)
    assert Group.objects.get().name == "front"


def test_a_group_that_rules_speak_of_stays(make_network: MakeNetwork, make_instance: Any, olgas: Actor) -> None:
    web = make_instance("web")
    group, network = groups.create(web.team, "web", [web.pk], actor=olgas), make_network()
    set_rules(network, [RuleSpec("deny", "in", peer="group:web")], actor=olgas)
    with nothing_changes(Group, AuditEntry), pytest.raises(Conflict, match="network br0") as refusal:
        groups.delete(group, actor=olgas)
    assert refusal.value.code == "in_use"
    set_rules(network, [], actor=olgas)
    groups.delete(group, actor=olgas)
    assert not Group.objects.exists()


def test_a_network_that_rules_speak_of_stays(make_network: MakeNetwork, stopped: Instance, olgas: Actor) -> None:
    network = make_network()
    set_rules(stopped, [RuleSpec("deny", "in", peer="network:br0")], actor=olgas)
    with nothing_changes(Network, AuditEntry), pytest.raises(Conflict, match="instance idle") as refusal:
        networks.delete(network, actor=olgas)
    assert refusal.value.code == "in_use"
