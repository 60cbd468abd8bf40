"""The networking document's second half on a real panel, word by word, and what must hold for guests on networks whatever happens.

The tests share one panel and its guests and run in order: the document's words are the first of them.
"""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.host.conftest import PROGRAMS
from tests.host.outside import HOST, PAGE, WORLD, the_outside
from tests.host.panel import PARTS, answers, get, real_panel, wait_until
from tests.host.town import PATIENCE, Town, following, said
from tests.namespaces import in_own_namespace

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]
OUTSIDE = "outside.example"
SERVER, CLIENT = "192.168.42.19", "192.168.42.20"
GATEWAY = "192.168.42.1"
PUBLISHED = 18_085
# As the document prints it, without quotes round tap1 and br1.
SAMPLE = '{\n    "RunConfig": {\n        "Bridged": true,\n        "TapName": tap1,\n        "BridgeName": br1\n    }\n}\n'
CREATE = ("instance", "create", "-c", "myconfig.json", "mywebserver", "-p", "8080")
ALICE_ASKS = {
    "bob:8081/": "hello from bob",
    "tcp6+bob:8081/": "hello from bob",
    "server:8081/hello": "hello test 2",
    f"{OUTSIDE}:8080/": PAGE,
}


@pytest.fixture(scope="module")
def outside() -> Iterator[list[str]]:
    """A world beyond the host."""
    in_own_namespace()
    with the_outside(OUTSIDE) as within:
        wait_until(lambda: "fe80" in said("ip", "-6", "addr", "show", "dev", "outside0", "-tentative"), "the wire is settled")
        yield within


@pytest.fixture(scope="module")
def town(outside: list[str]) -> Iterator[Town]:
    """Up from nothing, without a guest, its host looked at."""
    with real_panel() as panel:
        panel.make("up")
        panel.cli("instance", "delete", "hello")
        panel.cli("image", "delete", "hello")
        town = Town(panel)
        town.before = town.snapshot()
        yield town


@pytest.fixture(scope="module")
def desk(document: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which a person sits, with the programs beside each other."""
    desk = tmp_path_factory.mktemp("desk")
    for name in ("g", "server", "client"):
        shutil.copy(document / name / name, desk)
    (desk / "main.go").write_text((PROGRAMS / "chatter.go").read_text())
    environment = {**os.environ, "GO111MODULE": "off", "CGO_ENABLED": "0", "PATH": "/usr/lib/go/bin:/usr/bin:/bin", "HOME": str(desk)}
    subprocess.run(["go", "build", "-o", "chatter", "main.go"], cwd=desk, env=environment, check=True, timeout=240)
    return desk


@pytest.fixture(scope="module")
def pair(town: Town, desk: Path) -> Iterator[list[ExitStack]]:
    """The document's server and client, as long as somebody follows them."""
    with ExitStack() as stack:
        server = f"run server -p 8081 -b -t tap0 --ip-address {SERVER}"
        client = f"run client -a {SERVER}:8081 -b -t tap1 --ip-address {CLIENT}"
        stack.enter_context(following(town.panel, desk, desk / "server.txt", *server.split()))
        wait_until(lambda: answers(8081), "the server answers on the host", 60)
        stack.enter_context(following(town.panel, desk, desk / "client.txt", *client.split()))
        yield [stack]


@pytest.fixture(scope="module")
def guests(town: Town, desk: Path, pair: list[ExitStack]) -> str:
    """The network of the pair, with IPv6 and three more guests: bob by DHCP, alice who asks everybody, pinger who pings the server."""
    network = str(town.instance("server")["nics"][0]["network"])
    town.panel.cli("network", "edit", network, "--ipv6", "auto")
    on = ("run", "-d", "-b", "--bridgename", network, "-i")
    town.panel.cli(*on, "bob", "-p", f"{HOST}:{PUBLISHED}:8081", "chatter", cwd=desk)
    asks = [word for target in ALICE_ASKS for word in ("-a", target)]
    town.panel.cli(*on, "alice", *asks, "chatter", cwd=desk)
    pings = [word for part in ("ping", "-i", "0.2", SERVER) for word in ("-a", part)]
    town.panel.cli(*on, "pinger", *pings, "/bin/busybox")
    return network


def test_the_documents_network_create(town: Town) -> None:
    assert "192.168.33.0/24, gateway 192.168.33.1" in town.panel.cli("network", "create").stdout
    assert "br0" in town.panel.cli("network", "list").stdout
    shown = json.loads(town.panel.cli("network", "show", "br0", "--json").stdout)
    assert (shown["name"], shown["state"], shown["mode"], shown["cidr4"], shown["dhcp"]) == ("br0", "up", "nat", "192.168.33.0/24", True)
    assert len(town.dnsmasqs()) == 1
    assert town.bridge("192.168.33.1")


def test_the_documents_sample_config_as_it_is_printed_is_told_its_mend(town: Town, desk: Path) -> None:
    (desk / "myconfig.json").write_text(SAMPLE)
    town.panel.cli("image", "create", "-i", "mywebserver", "g", cwd=desk)
    refused = town.panel.cli(*CREATE, cwd=desk, code=2)
    assert "myconfig.json:4:20" in refused.stderr
    assert '"tap1"' in refused.stderr


def test_the_documents_sample_config(town: Town, desk: Path) -> None:
    (desk / "myconfig.json").write_text(SAMPLE.replace("tap1", '"tap1"').replace("br1", '"br1"'))
    made = town.panel.cli(*CREATE, cwd=desk)
    assert "br1" in made.stderr, "a note says that the network was made"
    assert get("http://127.0.0.1:8080/", 60) == "Welcome to my website!"
    (nic,) = town.instance("mywebserver")["nics"]
    assert (nic["name"], nic["network"]) == ("tap1", "br1")


def test_the_documents_two_programs_meet_on_a_bridge(town: Town, pair: list[ExitStack], desk: Path) -> None:
    wait_until(lambda: (desk / "client.txt").read_text().count("hello test 2\n") > 1, "the client says it twice", 60)
    assert town.instance("server")["nics"][0]["address4"] == SERVER
    assert town.network(town.instance("client")["nics"][0]["network"])["gateway4"] == GATEWAY


def test_a_guest_by_dhcp_answers_under_its_name_and_all_reach_the_outside(town: Town, guests: str) -> None:
    alice = town.console("alice")
    alice.start = 0
    wait_until(lambda: alice.answered(ALICE_ASKS), "alice hears all of them", 60)
    bob = town.instance("bob")["nics"][0]["address4"]
    wait_until(lambda: bob in town.panel.cli("network", "leases", guests).stdout, "its lease is shown", PATIENCE)


def test_forwards_lead_to_guests_from_the_host_and_from_outside(town: Town, guests: str, outside: list[str]) -> None:
    assert get(f"http://{HOST}:{PUBLISHED}/") == "hello from bob"
    assert get("http://127.0.0.1:8081/hello") == "hello test 2\n"
    fetch = ("curl", "-s", "--max-time", "5")
    assert said(*outside, *fetch, f"http://{HOST}:{PUBLISHED}/") == "hello from bob"
    bob = town.instance("bob")["nics"][0]["address4"]
    unasked = subprocess.run([*outside, *fetch, "--interface", WORLD, f"http://{bob}:8081/"], capture_output=True, timeout=20)
    assert unasked.returncode != 0, "without a forward nobody out there gets in"


def test_a_network_with_guests_is_not_deleted(town: Town, guests: str) -> None:
    refused = town.panel.cli("network", "delete", guests, code=1)
    assert "bob" in refused.stderr
    assert town.network(guests)["state"] == "up"


HARMS = ("dnsmasq killed", "tap deleted", "bridge set down", "rules flushed", "all of it, and the worker killed")


@pytest.mark.parametrize("harm", HARMS)
def test_what_is_broken_is_mended_within_20_seconds_and_said(town: Town, guests: str, harm: str) -> None:
    """INV-02, INV-03: no guest is started anew for it."""
    qemus, drift = town.qemus(), [(entry["what"], entry["at"]) for entry in town.network(guests)["drift"]]
    bridge = town.bridge(GATEWAY)
    before = set(town.taps(bridge))
    for one in HARMS if harm == HARMS[-1] else (harm,):
        _do(town, one, bridge)
    began = time.monotonic()  # a new worker's own start takes as long as the machine is slow
    wait_until(lambda: set(town.taps(bridge)) == before, "the taps are there", PATIENCE)
    alice, pinger = town.console("alice"), town.console("pinger")

    def is_said() -> bool:
        return any(entry["mended"] and (entry["what"], entry["at"]) not in drift for entry in town.network(guests)["drift"])

    wait_until(is_said, "the drift is said", PATIENCE)
    wait_until(lambda: alice.answered(ALICE_ASKS) and pinger.lost_pings()[1], "all hear each other", PATIENCE)
    assert time.monotonic() - began < PATIENCE
    assert town.qemus() == qemus
    assert get(f"http://{HOST}:{PUBLISHED}/") == "hello from bob"


def _do(town: Town, harm: str, bridge: str) -> None:
    if harm == "dnsmasq killed":
        for pid in town.dnsmasqs():
            os.kill(pid, signal.SIGKILL)
    elif harm == "tap deleted":
        for tap in town.taps(bridge):
            said("ip", "link", "del", tap)
    elif harm == "bridge set down":
        said("ip", "link", "set", bridge, "down")
    elif harm == "rules flushed":
        said("nft", "flush", "ruleset")
    else:
        killed_at = int(time.time())
        os.kill(town.panel.pid("worker"), signal.SIGKILL)
        wait_until(lambda: town.panel.is_ready(killed_at), "every part is ready", 60)


@pytest.mark.parametrize("part", [*PARTS, "all, by make restart"])
def test_no_packet_is_lost_while_the_panel_restarts(town: Town, guests: str, part: str) -> None:
    """INV-01: guests on a network ask each other, by name and by ping, and the host asks one of them, all the time."""
    wait_until(town.panel.is_ready, "every part is ready", 60)
    qemus, alice, pinger = town.qemus(), town.console("alice"), town.console("pinger")
    failures: list[float] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(0.2):
            if not answers(8081):
                failures.append(time.monotonic())

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        _restart(town, part)
    finally:
        ended.set()
        asking.join()
    wait_until(lambda: alice.answered(ALICE_ASKS), "alice hears all of them")
    assert [line for line in alice.lines() if ": lost: " in line] == []
    assert pinger.lost_pings()[0] == []
    assert pinger.lost_pings()[1] > 5
    assert failures == []
    assert town.qemus() == qemus


def _restart(town: Town, part: str) -> None:
    if part not in PARTS:
        town.panel.make("restart")
        return
    killed_at = int(time.time()) if part in ("worker", "watcher") else 0
    old = town.panel.pid(part)
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: town.panel.pid(part) not in (0, old), f"{part} runs again")
    wait_until(lambda: town.panel.is_ready(killed_at), "every part is ready", 60)


def test_ctrl_c_ends_the_documents_programs(town: Town, pair: list[ExitStack]) -> None:
    pair[0].close()
    names = [item["name"] for item in json.loads(town.panel.cli("instance", "list", "--json").stdout)["items"]]
    assert sorted(names) == ["alice", "bob", "mywebserver", "pinger"]


def test_after_a_reboot_of_the_host_networks_and_guests_are_back(town: Town, guests: str) -> None:
    """INV-19: what ran runs, what was stopped stays so, and none of it is called drift."""
    town.panel.cli("instance", "stop", "pinger")
    town.panel.cli("instance", "wait", "pinger", "--state", "ended")
    drift = town.network(guests)["drift"]
    alice = town.console("alice")
    town.lose_power()
    assert town.snapshot()["processes"] == []
    town.panel.make("up")
    still = {target: answer for target, answer in ALICE_ASKS.items() if "server" not in target}
    wait_until(lambda: alice.answered(still), "alice hears all that are left", 60)
    assert get("http://127.0.0.1:8080/", 60) == "Welcome to my website!"
    assert get(f"http://{HOST}:{PUBLISHED}/") == "hello from bob"
    assert [town.network(name)["state"] for name in ("br0", "br1", guests)] == ["up"] * 3
    assert town.network(guests)["drift"] == drift
    assert town.instance("pinger")["state"] == "stopped"


def test_when_all_is_deleted_the_host_is_as_it_was(town: Town, guests: str) -> None:
    """INV-03, INV-04: links, addresses, routes, rules, switches, processes and files."""
    for name in ("alice", "bob", "pinger", "mywebserver"):
        town.panel.cli("instance", "delete", name)
    for name in ("br0", "br1", guests):
        town.panel.cli("network", "delete", name)
    for image in json.loads(town.panel.cli("image", "list", "--json").stdout)["items"]:
        town.panel.cli("image", "delete", image["name"])
    assert town.snapshot() == town.before
