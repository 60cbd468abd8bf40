"""`opsweb network …`: requests, answers, exit codes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from opsweb.cli.problems import Usage
from opsweb.cli.rule_commands import parsed, read, written
from tests.unit.cli.called import Done
from tests.unit.cli.fake_state import NOW, State

Opsweb = Callable[..., Done]
SSH = {"action": "deny", "direction": "in", "protocol": "tcp", "ports": "22", "peer": ""}
DNS = {"action": "allow", "direction": "out", "protocol": "udp", "ports": "53", "peer": "10.0.0.0/8"}


def test_create_says_nothing_that_was_not_said(opsweb: Opsweb, state: State) -> None:
    done = opsweb("network", "create")
    assert done.code == 0
    assert state.sent("POST", "networks/") == [{}]
    assert done.out.decode() == "br0: Up, 192.168.33.0/24, gateway 192.168.33.1\n"


def test_create_sends_every_flag(opsweb: Opsweb, state: State) -> None:
    done = opsweb(
        "network", "create", "--bridgename", "lab", "--subnet", "192.168.42.1/24", "--mode", "uplink", "--adapter", "eth1", "--ipv6",
        "auto", "--no-nat6", "--no-dhcp", "--dhcp-range", "192.168.42.100-192.168.42.199", "--lease", "12h", "--mtu", "9000", "--domain",
        "lab.test", "--resolver", "9.9.9.9", "--resolver", "1.1.1.1", "--record", "db=192.168.42.200", "--share-with", "blue",
        "--team", "red", "--json",
    )  # fmt: skip
    assert done.code == 0
    assert state.sent("POST", "networks/") == [
        {"team": "red", "name": "lab", "cidr4": "192.168.42.1/24", "mode": "uplink", "adapter": "eth1", "cidr6": "auto", "nat6": False,
         "dhcp": False, "dhcp_first": "192.168.42.100", "dhcp_last": "192.168.42.199", "lease_seconds": 43_200, "mtu": 9000,
         "domain": "lab.test", "resolvers": ["9.9.9.9", "1.1.1.1"], "records": {"db": "192.168.42.200"}, "shared_with": ["blue"]}
    ]  # fmt: skip
    assert done.json["name"] == "lab"


def test_a_create_that_fails_on_the_host_says_why(opsweb: Opsweb, state: State) -> None:
    state.network_error = "eth1 carries the panel's own address."
    done = opsweb("network", "create")
    assert done.code == 1
    assert "opsweb: eth1 carries the panel's own address. (start_failed)" in done.err


def test_edit_sends_only_what_changes_and_an_empty_text_too(opsweb: Opsweb, state: State) -> None:
    network = state.network("br0", domain="old.test")
    assert opsweb("network", "edit", "br0", "--domain", "", "--mtu", "1400", "--dhcp").code == 0
    assert state.sent("PATCH", f"networks/{network['id']}/") == [{"domain": "", "mtu": 1400, "dhcp": True}]
    assert opsweb("network", "edit", "br0").code == 2


def test_a_dry_run_shows_and_changes_nothing(opsweb: Opsweb, state: State) -> None:
    network = state.network("br0")
    assert b"Nothing would change" in opsweb("network", "edit", "br0", "--mtu", "1400", "--dry-run").out
    state.preview = [{"title": "Links", "added": 1, "removed": 0, "text": "+ bridge ow1 mtu 1500 up"}]
    assert opsweb("network", "create", "--dry-run").out == b"Links\n+ bridge ow1 mtu 1500 up\n"
    assert state.sent("POST", "networks/preview/") == [{"network": network["id"], "mtu": 1400}, {}]
    assert [path for method, path, _ in state.requests if method != "GET"] == ["networks/preview/"] * 2


def test_list_and_show(opsweb: Opsweb, state: State) -> None:
    warning = {"code": "foreign_forward_drop", "message": "Docker drops what is forwarded."}
    drift = {"what": "dnsmasq", "reason": "is gone", "at": NOW, "mended": True}
    network = state.network("br0", cidr6="fd00::/64", gateway6="fd00::1", warnings=[warning], drift=[drift], records={"db": "192.168.33.9"})
    assert opsweb("network", "list", "--json").json == {"items": [network], "count": 1}
    assert b"192.168.33.0/24" in opsweb("network", "list").out
    done = opsweb("network", "show", "br0")
    assert "warning: Docker drops what is forwarded. (foreign_forward_drop)" in done.err
    for told in ("fd00::/64, gateway fd00::1, NAT66", "dnsmasq is gone, mended", "db=192.168.33.9", "192.168.33.2-192.168.33.254, 3600 s"):
        assert told in done.out.decode()
    assert opsweb("network", "show", network["id"], "--json").json == network


def test_delete_and_repair(opsweb: Opsweb, state: State) -> None:
    network = state.network("br0")
    assert opsweb("network", "repair", "br0", "--json").json["verb"] == "repair"
    network["nics"] = 1
    done = opsweb("network", "delete", "br0")
    assert (done.code, "web1" in done.err) == (1, True)
    network["nics"] = 0
    assert opsweb("network", "delete", "br0").code == 0
    assert opsweb("network", "delete", "br0").code == 5


def test_leases(opsweb: Opsweb, state: State) -> None:
    state.network("br0")
    state.leases = [{"address": "192.168.33.9", "mac": "02:00:00:00:00:01", "name": "bob\x1b[31m", "instance": "bob", "expires_at": None}]
    out = opsweb("network", "leases", "br0").out.decode()
    assert "never" in out
    assert "\x1b" not in out  # SEC-A6
    assert opsweb("network", "leases", "br0", "--json").json["count"] == 1


class TestRules:
    def test_of_a_network(self, opsweb: Opsweb, state: State) -> None:
        network = state.network("br0")
        assert opsweb("network", "rules", "br0", "list").out.decode().startswith("No rules")
        assert opsweb("network", "rules", "br0", "add", "deny in tcp 22 from any").code == 0
        assert opsweb("network", "rules", "br0", "add", "allow", "out", "udp", "53", "to", "10.0.0.0/8").code == 0
        assert state.rules[network["id"]] == [SSH, DNS]
        assert opsweb("network", "rules", "br0", "list").out.decode() == (
            "  1  deny in tcp 22 from any  # 7 packets\n  2  allow out udp 53 to 10.0.0.0/8  # 7 packets\n"
        )
        assert opsweb("network", "rules", "br0", "remove", "1", "--json").json["count"] == 1
        assert state.rules[network["id"]] == [DNS]
        assert opsweb("network", "rules", "br0", "remove", "2").code == 2

    def test_of_an_instance(self, opsweb: Opsweb, state: State) -> None:
        vm = state.vm("web1")
        assert opsweb("network", "rules", "--instance", "web1", "add", "deny in tcp 22").code == 0
        assert state.sent("PUT", f"instances/{vm.id}/rules/") == [{"rules": [SSH]}]

    def test_what_list_prints_can_be_set_again(self, opsweb: Opsweb, state: State, tmp_path: Path) -> None:
        network = state.network("br0")
        state.rules[network["id"]] = [SSH, DNS]
        for flags in ([], ["--json"]):
            (tmp_path / "rules").write_bytes(opsweb("network", "rules", "br0", "list", *flags).out)
            state.rules[network["id"]] = []
            assert opsweb("network", "rules", "br0", "set", "rules").code == 0
            assert state.rules[network["id"]] == [SSH, DNS]

    @pytest.mark.parametrize("words", [["br0"], ["br0", "frob"], ["br0", "add"], ["br0", "list", "x"], ["br0", "set", "missing"]])
    def test_what_makes_no_sense_is_refused(self, opsweb: Opsweb, state: State, words: list[str]) -> None:
        state.network("br0")
        assert opsweb("network", "rules", *words).code == 2
        assert state.sent("PUT", "") == []

    @pytest.mark.parametrize(
        "text",
        ["", "deny", "deny in", "deny sideways tcp", "drop in tcp 22", "deny in tcp 22 to any", "deny in tcp 22 23 from any",
         "deny in tcp 22 from", '{"items": 7}', "[7]", "{"],
    )  # fmt: skip
    def test_what_is_no_rule_is_refused(self, text: str) -> None:
        with pytest.raises(Usage) as caught:
            read(text or " ") or parsed(text)
        assert caught.value.code == "bad_rules"

    @pytest.mark.parametrize("rule", [SSH, DNS, SSH | {"peer": "group:web", "ports": "80-90"}, DNS | {"protocol": "any", "ports": ""}])
    def test_what_is_written_is_read_again(self, rule: dict[str, str]) -> None:
        assert parsed(written(rule)) == rule
