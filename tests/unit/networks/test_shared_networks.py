"""A network that several teams are on: what one of them may learn of the others, and do to them (INV-09, INV-15)."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from instances.models import Image, Instance
from networks.fabric.filter import render
from networks.fabric.filter_rules import counter_name
from networks.models import Group, Network, PortForward, Rule
from networks.plans import network_plan
from networks.ports import parse_ports
from networks.services import networks
from networks.services.forwards import set_forwards
from networks.services.nics import NicSpec, set_nics
from networks.services.rules import RuleSpec, set_rules, spec_of
from opsweb.core.access import SYSTEM, Actor
from opsweb.core.errors import Conflict, Invalid
from opsweb.core.models import AuditEntry
from opsweb.environment import env
from opsweb.teams.models import Membership, Team
from tests.conftest import SentTasks, nothing_changes
from tests.unit.conftest import MakeInstance
from tests.unit.networks.conftest import MakeNetwork

ApiOf = Callable[..., Any]
SignedIn = Callable[[User], Client]


@pytest.fixture
def lend(make_network: MakeNetwork, team: Team, other_team: Team) -> Callable[..., Network]:
    """A network of one of the two teams that is shared with the other."""

    def make(of: Team, **spec: object) -> Network:
        return make_network(of, shared_with=[team if of == other_team else other_team], name="lab", **spec)

    return make


@pytest.fixture
def secret(make_instance: MakeInstance, other_image: Image) -> Instance:
    """An instance of the other team with a rule and a port that tell something."""
    instance = make_instance("secret", of=other_image)
    set_rules(instance, [RuleSpec("deny", "in", "tcp", "2222")], actor=SYSTEM)
    return instance


@pytest.fixture
def mine(make_instance: MakeInstance) -> Instance:
    """One of the cast's team."""
    return make_instance("mine")


def attach(instance: Instance, network: Network, ports: str = "", **spec: Any) -> None:
    set_nics(instance, [NicSpec(network, **spec)], actor=SYSTEM)
    if ports:
        set_forwards(instance.nics.get(), parse_ports([ports]), host=instance.host, team_id=instance.team_id, actor=SYSTEM)


@pytest.mark.parametrize("change", [{"domain": "dev.example"}, {"rules": [{"action": "deny", "direction": "out", "peer": "10.9.9.9"}]}])
def test_a_preview_names_nothing_of_another_teams(
    api: ApiOf, olga: User, lend: Any, team: Team, secret: Instance, mine: Instance, change: dict[str, Any]
) -> None:
    """INV-15: to the owner of the network, who changes what every line of it says."""
    network = lend(team)
    attach(secret, network, "18081:8099")
    attach(mine, network)
    told = api(olga).post("networks/preview/", {"network": str(network.pk), **change})
    assert told.status_code == 200, told.content
    text = told.content.decode()
    assert "secret" not in text
    assert "2222" not in text
    assert "mine" in text or "10.9.9.9" in text
    lines = "".join(section["text"] for section in told.json()["sections"])
    assert "18081" not in lines


def test_the_form_of_a_network_names_nothing_of_another_teams(
    signed_in: SignedIn, olga: User, lend: Any, team: Team, secret: Instance
) -> None:
    """INV-15: the same by the page."""
    network = lend(team, cidr4="192.168.42.1/24")
    attach(secret, network)
    form = {"name": "lab", "mode": "nat", "cidr4": "192.168.42.1/24", "ipv6": "none", "dhcp": "on", "domain": "dev.example"}
    text = signed_in(olga).post(f"/networks/{network.pk}/edit/plan/", form).content.decode()
    assert "dev.example" in text
    assert "secret" not in text


def test_a_preview_of_ones_own_rules_tells_no_rule_of_the_owners(
    signed_in: SignedIn, olga: User, lend: Any, other_team: Team, secret: Instance, mine: Instance
) -> None:
    """INV-15: rules are their owner's to read, those of a network and those of other instances on it."""
    network = lend(other_team)
    set_rules(network, [RuleSpec("deny", "out", "udp", "4444", "10.7.7.7")], actor=SYSTEM)
    attach(secret, network)
    attach(mine, network)
    rules = {"rule_action": "deny", "rule_direction": "in", "rule_protocol": "tcp", "rule_ports": "8088", "rule_peer": ""}
    text = signed_in(olga).post(f"/instances/{mine.pk}/rules/plan/", rules).content.decode()
    assert re.search(r"\+ [^<]*8088", text)
    for word in ("4444", "10.7.7.7", "2222"):
        assert word not in text
    assert not PortForward.objects.exists()


def test_what_the_owner_denies_no_other_teams_rule_lifts(lend: Any, other_team: Team, secret: Instance, mine: Instance) -> None:
    """INV-09: of the owner's own instances the list comes first, of the others' both lists hold."""
    network = lend(other_team)
    attach(secret, network)
    attach(mine, network)
    set_rules(network, [RuleSpec("deny", "in", "tcp", "25")], actor=SYSTEM)
    set_rules(mine, [RuleSpec("allow", "in", "tcp", "25")], actor=SYSTEM)
    plan = network_plan(network)
    nics = {nic.mac: nic for nic in plan.nics}
    own, other = nics[secret.nics.get().mac], nics[mine.nics.get().mac]
    assert ([rule.allow for rule in own.rules], own.firm) == ([False, False], ())
    assert ([rule.allow for rule in other.rules], [rule.allow for rule in other.firm]) == ([True], [False])


def test_what_an_uplink_denies_its_own_teams_rules_do_not_lift(
    make_network: MakeNetwork, mine: Instance, olga: User, olgas: Actor, api: ApiOf
) -> None:
    """INV-09: an admin of the panel wrote it, whichever team has the network."""
    network = make_network(mode="uplink", adapter="eth1", cidr4="192.168.77.1/24")
    attach(mine, network, address4="192.168.77.9")
    set_rules(network, [RuleSpec("deny", "in", "tcp", "25")], actor=SYSTEM)
    set_rules(mine, [RuleSpec("allow", "in")], actor=olgas)
    [nic] = network_plan(network).nics
    assert ([rule.allow for rule in nic.firm], [rule.allow for rule in nic.rules]) == ([False], [True])
    assert api(olga).get(f"networks/{network.pk}/").json()["verbs"] == []


def test_the_page_of_another_teams_network_keeps_what_is_theirs(
    signed_in: SignedIn, api: ApiOf, olga: User, lend: Any, other_team: Team, secret: Instance
) -> None:
    """INV-15: rules, groups, people, and what went wrong with whose instance are the owner's."""
    network = lend(other_team)
    attach(secret, network)
    set_rules(network, [RuleSpec("deny", "out", "udp", "4444")], actor=SYSTEM)
    Group.objects.create(team=other_team, name="secret-group")
    told = {"what": "tap of secret", "reason": "is gone", "at": "2026-11-26T00:00:00+00:00", "mended": False}
    ghost = {"mac": "02:00:00:00:00:09", "address": "192.168.33.50", "name": "secret-ghost", "expires_at": None}
    warning = {"code": "port_busy", "message": "Port 18081 of the host is in use by secretd."}
    user = User.objects.create_user("secretary")
    Network.objects.update(message="secret", drift=[told], warnings=[warning], leases=[ghost], created_by=user)
    client = signed_in(olga)
    for tab in ("overview", "addresses", "forwards", "names", "activity"):
        page = client.get(f"/networks/{network.pk}/?tab={tab}")
        assert page.status_code == 200
        assert "secret" not in page.content.decode(), tab
        assert "?tab=rules" not in page.content.decode()
    for tab in ("rules", "health"):
        assert client.get(f"/networks/{network.pk}/?tab={tab}").status_code == 404
    for path in ("", "addresses/", "leases/"):
        assert "secret" not in api(olga).get(f"networks/{network.pk}/{path}").content.decode()
    assert client.post(f"/networks/{network.pk}/rules/", {}).status_code in (403, 404)


@pytest.mark.parametrize("spec", [{"address4": "192.168.33.200"}, {"address6": "fd00:1::200"}])
def test_nobody_takes_the_address_that_a_name_of_the_owners_means(lend: Any, team: Team, secret: Instance, spec: dict[str, str]) -> None:
    """INV-08: who asks for the record "db" would reach another team's guest."""
    network = lend(team, records={"db": "192.168.33.200", "db6": "fd00:1::200"}, cidr6="fd00:1::/64")
    with pytest.raises(Conflict) as refusal:
        attach(secret, network, **spec)
    assert refusal.value.code == "address_taken"
    assert "db" in refusal.value.message


def test_the_owner_may_name_an_instance_by_a_record(lend: Any, team: Team, mine: Instance) -> None:
    attach(mine, lend(team, records={"db": "192.168.33.200"}), address4="192.168.33.200")
    assert mine.nics.get().address4 == "192.168.33.200"


def test_a_record_of_either_family_keeps_nobody_out(lend: Any, team: Team, secret: Instance) -> None:
    """And its address is given to nobody who did not ask for it."""
    network = lend(team, records={"db": "fd00:1::2", "www": "192.168.33.2"}, cidr6="fd00:1::/64")
    attach(secret, network)
    assert (secret.nics.get().address4, secret.nics.get().address6) == ("192.168.33.3", "fd00:1::3")
    Network.objects.update(records={"db": "fd00:1::4"})
    attach(secret, network, address4="192.168.33.4")
    assert secret.nics.get().address6 == "fd00:1::5"


def test_a_rule_means_the_teams_own_network_before_one_of_the_same_name(
    lend: Any, make_network: MakeNetwork, team: Team, other_team: Team, mine: Instance
) -> None:
    """INV-09: what may come in from "my" br0 is not what comes from another team's."""
    own = make_network(team, name="lab")
    shared = [make_network(Team.objects.create(name=f"team{number}"), name="lab", shared_with=[team]) for number in range(5)]
    set_rules(mine, [RuleSpec("allow", "in", peer="network:lab")], actor=SYSTEM)
    assert [rule.peer_network for rule in mine.rules.all()] == [own], shared


@pytest.fixture
def naming(lend: Any, make_network: MakeNetwork, other_team: Team, mine: Instance) -> tuple[Network, Network]:
    """Their shared network, which a rule of an instance and one of a network of the cast's team name; and that network."""
    theirs, own = lend(other_team, cidr4="192.168.77.1/24"), make_network(name="own", cidr4="192.168.78.1/24")
    attach(mine, own)
    set_rules(mine, [RuleSpec("allow", "in", "tcp", "80", "network:lab"), RuleSpec("deny", "in")], actor=SYSTEM)
    set_rules(own, [RuleSpec("allow", "out", peer="network:lab"), RuleSpec("deny", "out")], actor=SYSTEM)
    assert "192.168.77.0/24" in render(env.installation, [network_plan(own)])
    return theirs, own


def test_no_team_keeps_another_from_deleting_its_network(
    naming: tuple[Network, Network], mine: Instance, other_team: Team, ana: User, as_actor: Callable[[User], Actor], sent: SentTasks
) -> None:
    """INV-14, SEC-F3: a rule whose peer is gone fits nobody, not anybody; the others of its list hold as before."""
    theirs, own = naming
    Membership.objects.create(user=ana, team=other_team, role="admin")
    sent.clear()
    networks.delete(theirs, actor=as_actor(ana))
    assert ("networks.keep_filter", (str(theirs.host_id),)) in sent
    Network.objects.filter(pk=theirs.pk).delete()  # as the worker does
    assert [spec_of(rule) for rule in mine.rules.all()] == [RuleSpec("allow", "in", "tcp", "80", "gone:lab"), RuleSpec("deny", "in")]
    plan = network_plan(own)
    assert [(rule.allow, rule.peers) for rule in plan.nics[0].rules] == [(True, ()), (False, None), (True, ()), (False, None)]
    text = render(env.installation, [plan])
    assert "192.168.77.0/24" not in text
    for owner in (mine, own):
        for number, rule in enumerate(owner.rules.all()):
            assert text.count(f"counter name {counter_name(rule.pk)}") == (
                0 if number == 0 else text.count(f"{counter_name(rule.pk)} drop")
            )


def test_a_rule_whose_peer_is_gone_stays_until_somebody_takes_it_out(
    naming: tuple[Network, Network], make_network: MakeNetwork, team: Team, other_team: Team, mine: Instance
) -> None:
    """SEC-F3: and means no other network of that name by itself."""
    theirs, _ = naming
    networks.delete(theirs, actor=SYSTEM)
    Network.objects.filter(pk=theirs.pk).delete()
    make_network(other_team, name="lab", shared_with=[team])
    rules = [spec_of(rule) for rule in mine.rules.all()]
    gone = mine.rules.first()
    set_rules(mine, [rules[1], rules[0], RuleSpec("deny", "out")], actor=SYSTEM)
    assert [rule.pk for rule in mine.rules.all()][1] == gone.pk
    for change in ({"ports": "81"}, {"peer": "gone:other"}):
        with nothing_changes(Rule, AuditEntry), pytest.raises(Invalid, match="Rule 2: The network .* is gone"):
            set_rules(mine, [rules[1], replace(rules[0], **change)], actor=SYSTEM)
    set_rules(mine, [replace(rules[0], peer="network:lab")], actor=SYSTEM)
    assert mine.rules.get().peer_network.name == "lab"


def test_a_rule_whose_peer_is_gone_says_so(
    naming: tuple[Network, Network], signed_in: SignedIn, api: ApiOf, olga: User, mine: Instance
) -> None:
    """In the editor, in its preview, in the API."""
    theirs, own = naming
    networks.delete(theirs, actor=SYSTEM)
    told = "TCP to port 80 may come in from network lab, which is gone: the rule fits nothing."
    client = signed_in(olga)
    page = client.get(f"/instances/{mine.pk}/?tab=network").content.decode()
    assert 'value="gone:lab"' in page
    assert told in page
    assert "gone:lab" in client.get(f"/networks/{own.pk}/?tab=rules").content.decode()
    row = {"rule_action": "allow", "rule_direction": "in", "rule_protocol": "tcp", "rule_ports": "80", "rule_peer": "gone:lab"}
    assert told in client.post(f"/instances/{mine.pk}/rules/plan/", row).content.decode()
    rules = api(olga).get(f"instances/{mine.pk}/rules/").json()["items"]
    assert (rules[0]["peer"], rules[0]["sentence"]) == ("gone:lab", told)
    body = {"rules": [{name: rule[name] for name in ("action", "direction", "protocol", "ports", "peer")} for rule in rules]}
    assert api(olga)("PUT", f"instances/{mine.pk}/rules/", body).json()["items"] == rules


def test_no_team_takes_a_name_that_means_anothers_guest(
    lend: Any, make_network: MakeNetwork, team: Team, other_team: Team, make_instance: MakeInstance, other_image: Image
) -> None:
    """INV-09: who asked for "db" yesterday does not reach a stranger today, whichever team is older."""
    network = make_network(Team.objects.create(name="owner"), shared_with=[team, other_team])
    theirs = make_instance("db", of=other_image)
    attach(theirs, network)
    before = _names(network)
    attach(make_instance("db"), network)
    attach(make_instance(f"db-{other_team.name}"), network)
    after = _names(network)
    assert before.items() <= after.items()
    assert len(set(after.values())) == 3
    assert "db" not in after.values()


def _names(network: Network) -> dict[str, str]:
    return {nic.tap: nic.name for nic in network_plan(network).nics}
