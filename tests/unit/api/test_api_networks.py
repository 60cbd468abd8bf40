"""networks/: read, make, change, look before, repair, delete; each with what it refuses."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User

from instances.models import Instance
from networks.models import Network, Nic, PublishedAddress, Rule
from networks.services import networks
from networks.services.networks import NetworkSpec
from networks.states import Observed
from opsweb.core.access import Actor
from opsweb.core.models import AuditEntry, Host, Operation
from opsweb.teams.models import Team
from tests.conftest import SentTasks, nothing_changes
from tests.unit.conftest import MakeInstance

ApiOf = Callable[..., Any]
ROWS = (Network, Nic, Rule, Operation, AuditEntry)
MakeNetwork = Callable[..., Network]


@pytest.fixture
def make_network(host: Host, team: Team, root: User, as_actor: Callable[[User], Actor], sent: SentTasks) -> MakeNetwork:
    """A network that was seen up, its operation over; fields of a NetworkSpec as keywords."""

    def make(name: str = "lab", of: Team = team, **fields: Any) -> Network:
        network, _ = networks.create(of, NetworkSpec(name=name, **fields), actor=as_actor(root))
        Network.objects.filter(pk=network.pk).update(observed=Observed.UP)
        Operation.objects.update(status="succeeded")
        sent.clear()
        network.refresh_from_db()
        return network

    return make


@pytest.fixture
def lab(make_network: MakeNetwork) -> Network:
    """192.168.42.0/24 with IPv6."""
    return make_network(cidr4="192.168.42.1/24", cidr6="fd00:42::/64")


@pytest.fixture
def attach(make_instance: MakeInstance) -> Callable[..., Nic]:
    """A NIC of a new instance on a network."""

    def on(network: Network, name: str, address4: str, **columns: Any) -> Nic:
        instance = make_instance(name, **columns)
        instance.nics.all().delete()
        return Nic.objects.create(instance=instance, network=network, name="tap0", address4=address4)

    return on


class TestGet:
    def test_a_network_is_shown_whole(self, api: ApiOf, vic: User, lab: Network) -> None:
        shown = api(vic).get(f"networks/{lab.pk}/").json()
        told = {
            name: shown[name] for name in ("name", "team", "mode", "cidr4", "gateway4", "cidr6", "gateway6", "domain", "state", "label")
        }
        assert told == {
            "name": "lab", "team": "payments", "mode": "nat", "cidr4": "192.168.42.0/24", "gateway4": "192.168.42.1", "state": "up",
            "cidr6": "fd00:42::/64", "gateway6": "fd00:42::1", "domain": "lab.internal", "label": "Up",
        }  # fmt: skip
        assert (shown["dhcp_first"], shown["dhcp_last"], shown["nics"]) == ("192.168.42.2", "192.168.42.254", 0)

    def test_verbs_are_those_that_the_caller_may(self, api: ApiOf, olga: User, vic: User, lab: Network) -> None:
        assert api(olga).get(f"networks/{lab.pk}/").json()["verbs"] == ["edit", "repair", "rules", "delete"]
        assert api(vic).get(f"networks/{lab.pk}/").json()["verbs"] == []

    def test_invisible_is_like_absent(self, api: ApiOf, ana: User, make_network: MakeNetwork, other_team: Team) -> None:
        """INV-15, for every way to name it."""
        theirs = make_network("theirs", of=other_team)
        for method, suffix, body in (
            ("GET", "", None),
            ("GET", "addresses/", None),
            ("GET", "leases/", None),
            ("GET", "rules/", None),
            ("PUT", "rules/", {"rules": []}),
            ("PUT", "links/", {"networks": []}),
            ("PATCH", "", {"mtu": 1400}),
            ("DELETE", "", None),
            ("POST", "actions/", {"verb": "repair"}),
        ):
            with nothing_changes(*ROWS):
                there = api(ana)(method, f"networks/{theirs.pk}/{suffix}", body)
                absent = api(ana)(method, f"networks/{uuid4()}/{suffix}", body)
            assert there.status_code == absent.status_code == 404, (method, suffix)
            assert there.json() | {"request_id": ""} == absent.json() | {"request_id": ""}

    def test_a_shared_one_is_there_to_use_and_not_to_change(
        self, api: ApiOf, ana: User, team: Team, make_network: MakeNetwork, other_team: Team, attach: Callable[..., Nic], other_image: Any
    ) -> None:
        theirs = make_network("theirs", of=other_team, cidr4="192.168.50.1/24")
        theirs.shared_with.set([team, Team.objects.create(name="third")])
        nic = attach(theirs, "secretname", "192.168.50.9", of=other_image)
        theirs.drift = [{"what": "tap tap0 of secretname", "reason": "is gone", "at": "2030-01-01T00:00:00+00:00", "mended": True}]
        theirs.leases = [{"mac": nic.mac, "address": "192.168.50.9", "name": "secretname", "expires_at": None}]
        theirs.save(update_fields=["drift", "leases"])
        shown = api(ana).get(f"networks/{theirs.pk}/").json()
        assert (shown["verbs"], shown["shared_with"], shown["created_by"]) == ([], ["payments"], "")
        for path in ("networks/", *(f"networks/{theirs.pk}/{part}" for part in ("", "addresses/", "leases/"))):
            assert "secretname" not in api(ana).get(path).content.decode()
        assert [item["name"] for item in api(ana).get("networks/", team="payments").json()["items"]] == ["theirs"]
        assert api(ana).get("networks/", team="third").json()["items"] == []
        with nothing_changes(*ROWS):
            for method, suffix, body in (("PATCH", "", {"mtu": 1400}), ("DELETE", "", None), ("POST", "actions/", {"verb": "repair"})):
                assert api(ana)(method, f"networks/{theirs.pk}/{suffix}", body).status_code == 403
            assert api(ana).get(f"networks/{theirs.pk}/rules/").status_code == 404

    @pytest.mark.parametrize(("observed", "is_so"), [(Observed.UP, True), (Observed.FAILED, False), (Observed.UNKNOWN, False)])
    def test_a_wait_tells_whether_it_came_true(self, api: ApiOf, vic: User, lab: Network, observed: str, is_so: bool) -> None:
        Network.objects.update(observed=observed)
        assert api(vic).get(f"networks/{lab.pk}/", wait_for="up", timeout=0).json()["waited_for"] is is_so

    @pytest.mark.parametrize("query", [{"wait_for": "down"}, {"wait_for": "up", "timeout": 3600}])
    def test_nonsense_is_refused(self, api: ApiOf, vic: User, lab: Network, query: dict[str, Any]) -> None:
        assert api(vic).get(f"networks/{lab.pk}/", **query).status_code == 422


class TestList:
    def test_filters_and_pages(self, api: ApiOf, vic: User, make_network: MakeNetwork, other_team: Team) -> None:
        make_network("one")
        make_network("two")
        make_network("theirs", of=other_team)

        def names(**query: Any) -> list[str]:
            return [item["name"] for item in api(vic).get("networks/", **query).json()["items"]]

        assert names() == ["one", "two"]
        assert names(name="two") == ["two"]
        assert names(team="payments") == ["one", "two"]
        assert names(limit=1, offset=1) == ["two"]
        assert api(vic).get("networks/", limit=1).json()["count"] == 2
        assert names(team="elsewhere") == []

    @pytest.mark.parametrize(
        "path", ["networks/", "networks/{lab}/", "networks/{lab}/addresses/", "networks/{lab}/leases/", "groups/", "hosts/"]
    )
    def test_as_many_queries_for_many_rows_as_for_one(
        self, api: ApiOf, olga: User, lab: Network, make_network: MakeNetwork, attach: Callable[..., Nic], path: str,
        django_assert_num_queries: Any, django_assert_max_num_queries: Any,
    ) -> None:  # fmt: skip
        client, path = api(olga), path.format(lab=lab.pk)
        attach(lab, "a0", "192.168.42.10")
        client.get(path)  # the first request of a session writes
        with django_assert_max_num_queries(20) as few:
            client.get(path)
        for number in range(1, 4):
            make_network(f"n{number}")
            attach(lab, f"a{number}", f"192.168.42.1{number}")
        with django_assert_num_queries(len(few)):
            assert client.get(path).status_code == 200


class TestCreate:
    def test_nothing_said_makes_br0(self, api: ApiOf, olga: User, host: Host, sent: SentTasks) -> None:
        answer = api(olga).post("networks/", {})
        made = Network.objects.get()
        assert answer.status_code == 202
        assert (made.name, made.cidr4, made.gateway4, made.cidr6) == ("br0", "192.168.33.0/24", "192.168.33.1", "")
        body = answer.json()
        assert (body["network"]["id"], body["operation"]["verb"], body["network"]["tone"]) == (str(made.pk), "create", "wait")
        assert answer["Location"] == f"/api/v1/operations/{body['operation']['id']}/"
        assert sent == [("networks.converge", (str(made.pk),))]

    def test_everything_said_is_kept(self, api: ApiOf, olga: User, host: Host, sent: SentTasks) -> None:
        body = {
            "name": "lab", "team": "payments", "mode": "isolated", "cidr4": "192.168.42.1/24", "cidr6": "auto", "nat6": False, "dhcp": True,
            "dhcp_first": "192.168.42.100", "dhcp_last": "192.168.42.199", "lease_seconds": 7200, "mtu": 1400, "domain": "lab.test",
            "resolvers": ["9.9.9.9"], "records": {"db": "192.168.42.200"},
        }  # fmt: skip
        shown = api(olga).post("networks/", body).json()["network"]
        assert {name: shown[name] for name in body if name not in ("cidr4", "cidr6")} == {
            name: value for name, value in body.items() if name not in ("cidr4", "cidr6")
        }
        assert shown["cidr6"].startswith("fd")

    @pytest.mark.parametrize(
        ("body", "status", "code", "field"),
        [
            ({"cidr4": "192.168.42.1"}, 422, "bad_cidr", "cidr4"),
            ({"cidr4": "192.168.42.0/31"}, 422, "no_room", "cidr4"),
            ({"cidr4": "127.0.0.1/24"}, 422, "reserved_range", "cidr4"),
            ({"cidr4": "8.8.8.1/24"}, 422, "not_private", "cidr4"),
            ({"cidr4": "192.168.42.129/25"}, 409, "overlap", "cidr4"),
            ({"cidr6": "fd00::/48"}, 422, "bad_cidr", "cidr6"),
            ({"name": "lab"}, 409, "name_taken", "name"),
            ({"name": "Br_0"}, 422, "invalid", "name"),
            ({"mode": "wild"}, 422, "invalid", "mode"),
            ({"mtu": 100}, 422, "invalid", "mtu"),
            ({"lease_seconds": 12}, 422, "invalid", "lease_seconds"),
            ({"resolvers": ["127.0.0.1"]}, 422, "invalid", "resolvers"),
            ({"records": {"db;x": "10.0.0.1"}}, 422, "invalid", "records"),
            ({"domain": "a\nb"}, 422, "invalid", "domain"),
            ({"bridge": "br0"}, 422, "invalid", "bridge"),
            ({"mode": "uplink", "adapter": "eth0", "cidr4": "10.0.0.1/24"}, 403, "forbidden", None),
            ({"shared_with": []}, 403, "forbidden", None),
        ],
    )  # fmt: skip
    def test_what_can_not_be_is_refused(
        self, api: ApiOf, olga: User, lab: Network, body: Any, status: int, code: str, field: str | None
    ) -> None:
        """SEC-D1, SEC-G2."""
        with nothing_changes(*ROWS):
            answer = api(olga).post("networks/", body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert field is None or field in answer.json()["fields"]

    def test_a_team_of_strangers_is_not_there_also_not_to_share_with(self, api: ApiOf, root: User, olga: User, other_team: Team) -> None:
        """INV-15."""
        assert api(olga).post("networks/", {"team": "elsewhere"}).status_code == 404
        assert api(olga).post("networks/", {"shared_with": ["elsewhere"]}).status_code == 404
        assert api(olga).post("networks/", {"shared_with": ["nowhere"]}).status_code == 404


class TestChange:
    def test_edit_keeps_what_is_not_said(self, api: ApiOf, olga: User, lab: Network, sent: SentTasks) -> None:
        answer = api(olga)("PATCH", f"networks/{lab.pk}/", {"mtu": 1400, "cidr6": "none"})
        lab.refresh_from_db()
        assert (answer.status_code, lab.mtu, lab.cidr6, lab.cidr4) == (202, 1400, "", "192.168.42.0/24")
        assert answer.json()["network"]["label"] == "Applying…"

    def test_the_subnet_stays_under_nics(self, api: ApiOf, olga: User, lab: Network, attach: Callable[..., Nic]) -> None:
        attach(lab, "bob", "192.168.42.9")
        with nothing_changes(*ROWS):
            answer = api(olga)("PATCH", f"networks/{lab.pk}/", {"cidr4": "192.168.43.1/24"})
        assert (answer.status_code, answer.json()["code"], "bob" in answer.json()["message"]) == (409, "in_use", True)

    def test_repair_and_delete(self, api: ApiOf, olga: User, lab: Network, sent: SentTasks) -> None:
        answer = api(olga).post(f"networks/{lab.pk}/actions/", {"verb": "repair"})
        assert (answer.status_code, answer.json()["operation"]["verb"]) == (202, "repair")
        assert "/operations/" in answer["Location"]
        answer = api(olga)("DELETE", f"networks/{lab.pk}/")
        assert (answer.status_code, answer.json()["operation"]["verb"]) == (202, "delete")
        assert api(olga).post(f"networks/{lab.pk}/actions/", {"verb": "explode"}).status_code == 422

    def test_delete_names_who_is_on_it(self, api: ApiOf, olga: User, lab: Network, attach: Callable[..., Nic]) -> None:
        attach(lab, "bob", "192.168.42.9")
        with nothing_changes(*ROWS):
            answer = api(olga)("DELETE", f"networks/{lab.pk}/")
        assert (answer.status_code, answer.json()["code"], "bob" in answer.json()["message"]) == (409, "in_use", True)

    def test_links_are_an_admins(self, api: ApiOf, root: User, ana: User, lab: Network, make_network: MakeNetwork) -> None:
        other = make_network("other")
        with nothing_changes(*ROWS):
            assert api(ana)("PUT", f"networks/{lab.pk}/links/", {"networks": [str(other.pk)]}).status_code == 403
        assert api(root)("PUT", f"networks/{lab.pk}/links/", {"networks": [str(other.pk)]}).json()["linked"] == ["other"]


class TestPreview:
    def test_of_a_new_one_nothing_stays(self, api: ApiOf, olga: User, host: Host, sent: SentTasks) -> None:
        with nothing_changes(*ROWS):
            answer = api(olga).post("networks/preview/", {"cidr4": "192.168.42.1/24"})
        assert (answer.status_code, answer.json()["name"]) == (200, "br0")
        told = {section["title"]: section["text"] for section in answer.json()["sections"]}
        assert "+ 192.168.42.1/24" in told["Addresses"]
        assert all(line.startswith("+ ") for line in told["Links"].splitlines())

    def test_of_a_change_only_what_differs_is_told(self, api: ApiOf, olga: User, lab: Network, sent: SentTasks) -> None:
        with nothing_changes(*ROWS):
            answer = api(olga).post("networks/preview/", {"network": str(lab.pk), "mtu": 1400}).json()
            same = api(olga).post("networks/preview/", {"network": str(lab.pk)}).json()
        assert "- " in answer["sections"][0]["text"]
        assert "Addresses" not in {section["title"] for section in answer["sections"]}
        assert same["sections"] == []

    def test_it_refuses_what_the_change_would(self, api: ApiOf, olga: User, vic: User, lab: Network) -> None:
        """SEC-F1."""
        with nothing_changes(*ROWS):
            assert api(olga).post("networks/preview/", {"cidr4": "192.168.42.1/24"}).json()["code"] == "overlap"
            assert api(vic).post("networks/preview/", {}).status_code == 403
            assert api(vic).post("networks/preview/", {"network": str(lab.pk), "mtu": 1400}).status_code == 403
            assert api(olga).post("networks/preview/", {"network": str(uuid4())}).status_code == 404
            bad = {"network": str(lab.pk), "rules": [{"action": "deny", "direction": "in", "peer": "300.0.0.0/8"}]}
            assert api(olga).post("networks/preview/", bad).json()["code"] == "bad_rule"


class TestAddresses:
    def test_who_has_which(self, api: ApiOf, vic: User, lab: Network, attach: Callable[..., Nic]) -> None:
        nic = attach(lab, "bob", "192.168.42.9")
        lease = {"mac": nic.mac, "address": "192.168.42.9", "name": "bob", "expires_at": "2030-01-01T00:00:00+00:00"}
        Network.objects.filter(pk=lab.pk).update(leases=[lease])
        answer = api(vic).get(f"networks/{lab.pk}/addresses/").json()
        assert (answer["reserved"], answer["leased"], answer["free"]) == (1, 1, 252)
        assert [(row["state"], row["first"], row["last"], row["instance"]) for row in answer["items"]] == [
            ("gateway", "192.168.42.1", "192.168.42.1", ""),
            ("free", "192.168.42.2", "192.168.42.8", ""),
            ("leased", "192.168.42.9", "192.168.42.9", "bob"),
            ("free", "192.168.42.10", "192.168.42.254", ""),
        ]
        assert api(vic).get(f"networks/{lab.pk}/addresses/", limit=1, offset=2).json()["items"][0]["instance"] == "bob"
        leases = api(vic).get(f"networks/{lab.pk}/leases/").json()
        assert (leases["count"], leases["items"][0]["instance"], leases["items"][0]["mac"]) == (1, "bob", nic.mac)


class TestRules:
    SSH = {"action": "deny", "direction": "in", "protocol": "tcp", "ports": "22", "peer": ""}

    @pytest.mark.parametrize("owner", ["networks", "instances"])
    def test_they_are_replaced_as_a_whole(
        self, api: ApiOf, olga: User, vic: User, lab: Network, running: Instance, sent: SentTasks, owner: str
    ) -> None:
        path = f"{owner}/{lab.pk if owner == 'networks' else running.pk}/rules/"
        web = {"action": "allow", "direction": "in", "protocol": "tcp", "ports": "80-90", "peer": "network:lab"}
        answer = api(olga)("PUT", path, {"rules": [self.SSH, web]})
        assert answer.status_code == 200
        assert [{name: rule[name] for name in web} for rule in api(vic).get(path).json()["items"]] == [self.SSH, web]
        assert answer.json()["items"][0]["sentence"] == "TCP to port 22 may not come in from anybody."
        assert sent == [("networks.keep_filter", (str(lab.host_id),))]
        assert api(olga)("PUT", path, {"rules": []}).json() == {"items": [], "count": 0}

    @pytest.mark.parametrize(
        "rule",
        [
            {"action": "drop", "direction": "in"},
            {"action": "deny", "direction": "in", "ports": "22"},
            {"action": "deny", "direction": "in", "protocol": "tcp", "ports": "0"},
            {"action": "deny", "direction": "in", "peer": "10.0.0.1/8"},
            {"action": "deny", "direction": "in", "peer": "group:nobody"},
            {"action": "deny", "direction": "in", "peer": "network:theirs"},
            {"action": "deny", "direction": "in", "peer": "0.0.0.0/0; accept"},
            {"action": "deny", "direction": "in", "colour": "red"},
        ],
    )
    def test_an_invalid_one_changes_nothing(
        self, api: ApiOf, olga: User, lab: Network, make_network: MakeNetwork, other_team: Team, rule: Any
    ) -> None:
        """SEC-F3: an invalid rule never means no rules."""
        make_network("theirs", of=other_team)
        api(olga)("PUT", f"networks/{lab.pk}/rules/", {"rules": [self.SSH]})
        with nothing_changes(*ROWS):
            assert api(olga)("PUT", f"networks/{lab.pk}/rules/", {"rules": [self.SSH, rule]}).status_code == 422

    def test_more_than_the_quota_is_refused(self, api: ApiOf, olga: User, lab: Network) -> None:
        """INV-13."""
        Team.objects.update(quota_rules=1)
        with nothing_changes(*ROWS):
            assert api(olga)("PUT", f"networks/{lab.pk}/rules/", {"rules": [self.SSH] * 2}).json()["code"] == "quota"
        assert api(olga)("PUT", f"networks/{lab.pk}/rules/", {"rules": [self.SSH] * 1001}).status_code == 422


class TestGroups:
    def test_create_edit_delete(self, api: ApiOf, olga: User, running: Instance) -> None:
        made = api(olga).post("groups/", {"name": "web", "instances": [str(running.pk)]})
        assert (made.status_code, made.json()["instances"]) == (201, [{"id": str(running.pk), "name": "web1"}])
        path = f"groups/{made.json()['id']}/"
        assert api(olga)("PATCH", path, {"name": "www", "instances": []}).json()["instances"] == []
        assert api(olga).get("groups/", name="www").json()["count"] == 1
        assert api(olga)("DELETE", path).status_code == 204
        assert api(olga).get(path).status_code == 404

    def test_a_strangers_instance_can_not_be_a_member(self, api: ApiOf, olga: User, foreign: Instance) -> None:
        """INV-15."""
        with nothing_changes(*ROWS):
            assert api(olga).post("groups/", {"name": "web", "instances": [str(foreign.pk)]}).status_code == 404

    def test_one_that_a_rule_speaks_of_stays(self, api: ApiOf, olga: User, lab: Network) -> None:
        made = api(olga).post("groups/", {"name": "web"}).json()
        api(olga)("PUT", f"networks/{lab.pk}/rules/", {"rules": [{"action": "deny", "direction": "in", "peer": "group:web"}]})
        assert api(olga)("DELETE", f"groups/{made['id']}/").json()["code"] == "in_use"


def test_hosts_tell_adapters_to_superusers_only(api: ApiOf, ana: User, root: User, host: Host, team: Team, other_team: Team) -> None:
    adapter = {"name": "eth0", "addresses": ["10.1.2.3/24"], "is_up": True}
    Host.objects.update(network_facts={"adapters": [adapter], "platform": "Amazon EC2", "routes": []})
    for address, owner in (("10.1.2.3", team), ("10.1.2.4", other_team)):
        PublishedAddress.objects.create(host=host, address=address).teams.set([owner])
    shown = api(ana).get("hosts/").json()["items"][0]
    assert (shown["platform"], shown["adapters"]) == ("Amazon EC2", [])
    assert [row["address"] for row in shown["published"]] == ["10.1.2.3"]
    shown = api(root).get("hosts/").json()["items"][0]
    assert shown["adapters"] == [adapter]
    assert len(shown["published"]) == 2
