"""Rows → a real kernel: networks are made, mended and taken away by the reconciler itself (INV-02, INV-03, INV-04)."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instances.models import Image, Instance
from networks.fabric.names import bridge_name
from networks.models import Network
from networks.plans import network_plan, plans
from networks.reconcile import sweep as networks_sweep
from networks.reconcile.converge import converge
from networks.reconcile.drivers import fabric
from networks.reconcile.filter import keep_filter
from networks.reconcile.sweep import sweep_networks
from networks.services import networks
from networks.services.networks import NetworkSpec
from networks.services.nics import NicSpec, set_nics
from networks.services.rules import RuleSpec, set_rules
from opsweb.core.access import SYSTEM
from opsweb.core.models import Host, Operation
from opsweb.environment import env
from opsweb.teams.models import Team
from tests.conftest import SentTasks
from tests.contract.hypervisors import short_directory
from tests.namespaces import in_own_namespace

pytestmark = pytest.mark.host


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The real driver in this namespace, on a run directory of its own, with the worker's umask."""
    in_own_namespace()
    umask = os.umask(0o007)
    with short_directory() as path:
        path.chmod(0o755)  # as the run directory is: each dnsmasq reads its files below it
        monkeypatch.setattr(env, "driver", "real")
        monkeypatch.setattr(env, "run_dir", path)
        (env.state_dir / "vm").mkdir(parents=True, exist_ok=True)  # whose group the panel's is
        fabric.cache_clear()
        networks_sweep._unknown.clear()
        try:
            yield
        finally:
            os.umask(umask)
            fabric().remove_all()
            fabric.cache_clear()


@pytest.fixture
def web(real: None, host: Host, team: Team) -> Instance:
    image = Image.objects.create(team=team, host=host, name="web", digest="ab" * 32)
    return Instance.objects.create(team=team, host=host, image=image, name="web", uid_offset=1)


def make(team: Team, **spec: Any) -> Network:
    return networks.create(team, NetworkSpec(**spec), actor=SYSTEM)[0]


def seen() -> dict[str, Any]:
    """All that a network may leave behind."""
    nft = subprocess.run(["nft", "-s", "list", "ruleset"], capture_output=True, text=True, check=True, timeout=20).stdout
    links = sorted(row["ifname"] for row in json.loads(_ip("-j", "link")))
    routes = _ip("route", "show", "table", "all") + _ip("-6", "route", "show", "table", "all")
    forwarding = [Path(f"/proc/sys/net/{name}").read_text() for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding")]
    files = sorted(str(path) for path in env.run_dir.rglob("*") if path.is_file() and "locks" not in path.parts)
    return {"nft": nft, "links": links, "routes": routes, "forwarding": forwarding, "dnsmasq": dnsmasqs(), "files": files}


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True, timeout=20).stdout


def dnsmasqs() -> list[int]:
    """Those of this installation's run directory."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes()
        except OSError:
            continue
        if b"dnsmasq" in words.partition(b"\0")[0] and os.fsencode(env.run_dir) in words:
            found.append(int(directory.name))
    return found


def again(network: Network) -> Network:
    network.refresh_from_db()
    return network


def test_a_network_comes_holds_and_goes(web: Instance, team: Team, host: Host, sent: SentTasks) -> None:
    keep_filter(host)
    before = seen()
    network = make(team, cidr6="auto", records={"db": "192.168.33.200"})
    sent.drain()
    assert (again(network).observed, network.message, network.drift) == ("up", "", [])
    assert Operation.objects.get().status == "succeeded"
    set_nics(web, [NicSpec(network), NicSpec(network, address4="192.168.33.19")], actor=SYSTEM)
    set_rules(network, [RuleSpec("deny", "in", "tcp", "22", "10.0.0.0/8")], actor=SYSTEM)
    sent.drain()
    assert (again(network).observed, network.message, network.drift) == ("up", "", [])
    assert fabric().drift(network_plan(network)) == ()
    assert fabric().filter_holds(plans(host))
    assert bridge_name(env.installation, network.tag) in seen()["links"]
    assert len(dnsmasqs()) == 1
    set_nics(web, [], actor=SYSTEM)
    networks.delete(network, actor=SYSTEM)
    sent.drain()
    assert not Network.objects.exists()
    assert seen() == before


def test_what_a_stranger_does_is_said_and_mended(web: Instance, team: Team, host: Host, sent: SentTasks) -> None:
    network = make(team)
    set_nics(web, [NicSpec(network)], actor=SYSTEM)
    sent.drain()
    bridge = bridge_name(env.installation, network.tag)
    strangers = {
        "downed": lambda: _ip("link", "set", bridge, "down"),
        "address gone": lambda: _ip("address", "flush", "dev", bridge),
        "bridge gone": lambda: _ip("link", "del", bridge),
        "dnsmasq killed": lambda: _kill(dnsmasqs()[0]),
        "rules flushed": lambda: subprocess.run(["nft", "flush", "ruleset"], check=True, timeout=20),
    }
    for number, (what, harm) in enumerate(strangers.items()):
        harm()
        sweep_networks(host)
        assert again(network).observed == "up", (what, network.message)
        assert len(network.drift) > number, what
        assert network.drift[0]["mended"], what
        assert fabric().drift(network_plan(network)) == (), what
        assert fabric().filter_holds(plans(host)), what
    drift = network.drift
    sweep_networks(host)
    assert again(network).drift == drift


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline


def test_a_network_that_no_row_knows_goes(real: None, team: Team, host: Host, sent: SentTasks, monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-03."""
    keep_filter(host)
    before = seen()
    network = make(team)
    sent.drain()
    Network.objects.filter(pk=network.pk).delete()
    sweep_networks(host)
    now = time.monotonic()
    monkeypatch.setattr(networks_sweep.time, "monotonic", lambda: now + networks_sweep.REAP_AFTER + 1)
    sweep_networks(host)
    assert seen() == before


def test_a_change_of_rules_is_felt_in_under_a_second(web: Instance, team: Team, host: Host, sent: SentTasks) -> None:
    """SEC-F3: from the wish to the kernel, with the host's other networks there."""
    others = [make(team) for _ in range(4)]
    set_nics(web, [NicSpec(network) for network in others], actor=SYSTEM)
    sent.drain()
    started = time.monotonic()
    set_rules(others[0], [RuleSpec("deny", "in", "tcp", "22")], actor=SYSTEM)
    sent.drain()
    assert time.monotonic() - started < 1
    assert fabric().filter_holds(plans(host))
    converge(others[0].pk)
    assert again(others[0]).drift == []
