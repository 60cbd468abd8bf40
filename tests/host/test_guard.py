"""The guard with packets: processes under VMs' uids stand in for QEMU, in a namespace of their own, and knock at every door.

Namespaces: this one is "the host"; a second one, joined by veth, is "the outside" and the far end of a bridged network.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from networks.fabric import nfnetlink, nft
from networks.fabric.base import Endpoint, Guard, Redirect
from networks.fabric.linux import LinuxFabric

pytestmark = pytest.mark.host

TAG, TABLE = "d00d", "owd00d_guard"
PYTHON = "/usr/bin/python3"  # the environment's own may lie where a VM's uid cannot read
ROOT, ORDINARY = 0, 911000
A1, A2, B1, LONER = 910001, 910002, 910003, 910004  # two VMs of team A, one of team B, one whose team forwards nothing
HOST, OUTSIDE = "198.51.100.1", "198.51.100.2"
HOST6, OUTSIDE6 = "2001:db8::1", "2001:db8::2"
BRIDGED = "192.0.2.2"

# What listens on the host: (uid, protocol, address, port, name)
LISTENERS = [
    *[(ROOT, protocol, address, 6379, "redis") for protocol in ("tcp", "udp") for address in ("127.0.0.1", "::1")],
    (ROOT, "tcp", "127.0.0.1", 8000, "panel"),
    *[(ROOT, protocol, "0.0.0.0", 5432, "database") for protocol in ("tcp", "udp")],
    (ROOT, "tcp", HOST6, 5433, "database"),
    *[(ROOT, protocol, "127.0.0.53", 53, "resolver") for protocol in ("tcp", "udp")],
    (ROOT, "tcp", "127.0.0.53", 80, "not-dns"),
    *[(ROOT, protocol, "127.0.0.1", 3128, "proxy") for protocol in ("tcp", "udp")],
    *[(A1, protocol, "127.0.0.1", 18080, "a1") for protocol in ("tcp", "udp")],
    *[(A1, protocol, "0.0.0.0", 18082, "a1-everywhere") for protocol in ("tcp", "udp")],
    *[(A1, protocol, "127.0.0.1", 20080, "a1-low") for protocol in ("tcp", "udp")],
    *[(A1, protocol, HOST, 20443, "a1-published") for protocol in ("tcp", "udp")],
    *[(B1, protocol, "127.0.0.1", 18081, "b1") for protocol in ("tcp", "udp")],
    (A1, "tick", "127.0.0.1", 18090, "a1-ticks"),
]

SERVE = """
import json, socket, socketserver, sys, threading, time
class Talk(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.server.banner)
        for line in self.rfile: self.wfile.write(line)
class Tick(socketserver.BaseRequestHandler):
    def handle(self):
        for number in range(600): self.request.sendall(b"%d\\n" % number); time.sleep(0.05)
class Answer(socketserver.BaseRequestHandler):
    def handle(self): self.request[1].sendto(self.server.banner, self.client_address)
for protocol, address, port, name in json.loads(sys.argv[1]):
    kind = socketserver.ThreadingUDPServer if protocol == "udp" else socketserver.ThreadingTCPServer
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    of = type("Server", (kind,), {"address_family": family, "allow_reuse_address": True, "daemon_threads": True})
    server = of((address, port), {"tcp": Talk, "tick": Tick, "udp": Answer}[protocol], bind_and_activate=False)
    if ":" in address: server.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.server_bind(); server.server_activate()
    server.banner = name.encode() + b"\\n"
    threading.Thread(target=server.serve_forever, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""

KNOCK = """
import socket, sys
protocol, address, port = sys.argv[1:]
kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
family, kind, _, _, where = socket.getaddrinfo(address, int(port), type=kind)[0]
with socket.socket(family, kind) as door:
    door.settimeout(0.8)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    try:
        door.connect(where)
        if protocol == "udp": door.send(b"?")
        print(door.recv(100).decode().strip())
    except TimeoutError: print("silence")
    except OSError as error: print("refused")
"""

HOLD = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1.5) as door:
    lines = door.makefile("rb")
    print(lines.readline().decode().strip(), flush=True)
    for word in sys.stdin:
        try:
            if word != "\\n": door.sendall(word.encode())
            print(lines.readline().decode().strip() or "closed", flush=True)
        except OSError: print("cut", flush=True)
"""

GUARD = Guard(
    uid_first=910001,
    uid_last=910099,
    allowed={
        **dict.fromkeys(
            (A1, A2),
            (
                *[Endpoint(protocol, "127.0.0.1", port) for protocol in ("tcp", "udp") for port in (18080, 80)],
                *[Endpoint(protocol, "0.0.0.0", 18082) for protocol in ("tcp", "udp")],
                *[Endpoint(protocol, HOST, 443) for protocol in ("tcp", "udp")],
                Endpoint("tcp", "127.0.0.1", 18090),
            ),
        ),
        B1: tuple(Endpoint(protocol, "127.0.0.1", 18081) for protocol in ("tcp", "udp")),
    },
    redirects=(
        *[Redirect(Endpoint(protocol, "127.0.0.1", 80), 20080) for protocol in ("tcp", "udp")],
        *[Redirect(Endpoint(protocol, HOST, 443), 20443) for protocol in ("tcp", "udp")],
    ),
)


@dataclass
class Place:
    """The two namespaces: `knock` as a uid of the host, or from the outside."""

    fabric: LinuxFabric
    outside: int  # pid of the process that keeps the other namespace

    def knock(self, uid: int, protocol: str, address: str, port: int) -> str:
        """The name of who answered, "refused" or "silence"."""
        return _output([PYTHON, "-I", "-c", KNOCK, protocol, address, str(port)], uid)

    def knock_from_outside(self, protocol: str, address: str, port: int) -> str:
        inside = ["/usr/bin/nsenter", "-t", str(self.outside), "-n"]
        return _output([*inside, PYTHON, "-I", "-c", KNOCK, protocol, address, str(port)], ROOT)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Place]:
    _in_own_namespace()
    with ExitStack() as stack:
        far = [[protocol, address, 80, "outside"] for protocol in ("tcp", "udp") for address in ("0.0.0.0", "::")]
        far.append(["udp", "0.0.0.0", 5353, "outside"])
        outside = stack.enter_context(_server(far, ROOT, ["/usr/bin/unshare", "--net"]))
        stack.enter_context(_wired(outside.pid))
        for uid in {row[0] for row in LISTENERS}:
            stack.enter_context(_server([row[1:] for row in LISTENERS if row[0] == uid], uid))
        yield Place(LinuxFabric(TAG, tmp_path_factory.mktemp("run")), outside.pid)


@pytest.fixture
def guarded(place) -> Iterator[Place]:
    place.fabric.apply_guard(GUARD)
    yield place
    place.fabric.remove_all()


def _in_own_namespace() -> None:
    """These tests make links and flush rules: never on the network of the machine."""
    try:
        shared = Path("/proc/self/ns/net").readlink() == Path("/proc/1/ns/net").readlink()
    except PermissionError:  # pid 1 is not ours to look at; a namespace just made has no route
        shared = _output(["/usr/sbin/ip", "route"], ROOT) != ""
    if shared:
        pytest.fail("Refused: this process shares the network of the machine. Run it by `unshare --net --mount --fork`.", pytrace=False)
    _ip("link set lo up")


@contextmanager
def _wired(outside: int) -> Iterator[None]:
    """Two wires: `up0`, the host's way out with a cloud's metadata services at its end, and `owcafe0a`, a bridged network of ours."""
    near = {"up0": (f"{HOST}/24", "169.254.0.1/16", f"{HOST6}/64", "fd00:ec2::1/64", "fe80::1/64"), "owcafe0a": ("192.0.2.1/24",)}
    far = {
        "up1": (f"{OUTSIDE}/24", "169.254.169.254/16", f"{OUTSIDE6}/64", "fd00:ec2::254/64", "fe80::2/64"),
        "owcafe0b": (f"{BRIDGED}/24",),
    }
    for here, there in zip(near, far, strict=True):
        _ip(f"link add {here} type veth peer name {there} netns {outside}")
    for links, pid in ((far, outside), (near, None)):
        for link, addresses in links.items():
            _ip(f"link set {link} addrgenmode none up", pid)
            for address in addresses:
                _ip(f"addr add {address} dev {link}" + (" nodad" if ":" in address else ""), pid)
    _ip(f"route add default via {HOST}", outside)
    _ip(f"route add default via {OUTSIDE}")
    try:
        yield
    finally:
        for link in near:
            _ip(f"link del {link}")


@contextmanager
def _server(rows: list[Any], uid: int, prefix: list[str] | None = None) -> Iterator["subprocess.Popen[str]"]:
    command = [*(prefix or []), PYTHON, "-I", "-c", SERVE, json.dumps(rows)]
    with _process(command, uid) as server:
        assert server.stdout.readline() == "ready\n"
        yield server


@contextmanager
def _process(command: list[str], uid: int) -> Iterator["subprocess.Popen[str]"]:
    """A child under `uid` that ends when its input does."""
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, user=uid, group=uid, extra_groups=[], cwd="/")
    try:
        yield child
    finally:
        child.stdin.close()
        child.kill()
        child.wait(10)
        child.stdout.close()


@contextmanager
def _held(uid: int, address: str, port: int) -> Iterator[Callable[[str], str]]:
    """A TCP connection that stays open; calling it says a line (or nothing, "") and returns the next line heard."""
    with _process([PYTHON, "-I", "-c", HOLD, address, str(port)], uid) as child:

        def say(word: str) -> str:
            child.stdin.write(word + "\n")
            child.stdin.flush()
            return child.stdout.readline().strip()

        assert child.stdout.readline() != "\n"
        yield say


def _output(command: list[str], uid: int) -> str:
    done = subprocess.run(command, user=uid, group=uid, extra_groups=[], cwd="/", check=True, stdout=subprocess.PIPE, text=True, timeout=20)
    return done.stdout.strip()


def _ip(line: str, pid: int | None = None) -> None:
    prefix = ["/usr/bin/nsenter", "-t", str(pid), "-n"] if pid else []
    subprocess.run([*prefix, "/usr/sbin/ip", *line.split()], check=True, timeout=10)


BOTH = pytest.mark.parametrize("protocol", ["tcp", "udp"])


@BOTH
@pytest.mark.parametrize(
    ("address", "port", "name"),
    [
        ("127.0.0.1", 6379, "redis"),
        ("::1", 6379, "redis"),
        ("127.0.0.1", 5432, "database"),
        ("0.0.0.0", 5432, "database"),
        (HOST, 5432, "database"),
        ("192.0.2.1", 5432, "database"),
        ("127.0.0.53", 53, "resolver"),
        ("127.0.0.1", 3128, "proxy"),
        ("127.0.0.1", 18081, "b1"),
        (BRIDGED, 80, "outside"),
        ("169.254.169.254", 80, "outside"),
        ("fe80::2%up0", 80, "outside"),
        ("fd00:ec2::254", 80, "outside"),
    ],
)
def test_a_guest_is_refused_where_others_are_not(guarded, protocol, address, port, name):
    """INV-09: foreign listeners, the host's other addresses, other teams' forwards and bridges, link-local, metadata."""
    assert guarded.knock(ORDINARY, protocol, address, port) == name
    for guest in (A1, LONER):
        assert guarded.knock(guest, protocol, address, port) == "refused"


@pytest.mark.parametrize(
    ("address", "port", "name"), [("127.0.0.1", 8000, "panel"), ("127.0.0.77", 5432, "database"), (HOST6, 5433, "database")]
)
def test_the_panel_and_the_hosts_lesser_addresses_are_refused(guarded, address, port, name):
    """INV-09."""
    assert guarded.knock(ORDINARY, "tcp", address, port) == name
    assert guarded.knock(A1, "tcp", address, port) == "refused"


@BOTH
@pytest.mark.parametrize(
    ("address", "port", "name"),
    [
        ("127.0.0.1", 18080, "a1"),
        ("127.0.0.1", 18082, "a1-everywhere"),
        (HOST, 18082, "a1-everywhere"),
        ("127.0.0.1", 80, "a1-low"),
        (HOST, 443, "a1-published"),
    ],
)
def test_a_forward_is_its_own_teams(guarded, protocol, address, port, name):
    """INV-09: the guest itself and its neighbour reach it by 10.0.2.2, others do not; people on the host do."""
    assert [guarded.knock(uid, protocol, address, port) for uid in (A1, A2, ORDINARY)] == [name] * 3
    assert [guarded.knock(uid, protocol, address, port) for uid in (B1, LONER)] == ["refused"] * 2


@BOTH
@pytest.mark.parametrize("address", [OUTSIDE, OUTSIDE6])
def test_the_outside_is_open(guarded, protocol, address):
    assert guarded.knock(LONER, protocol, address, 80) == "outside"


@BOTH
def test_a_refusal_is_quick(guarded, protocol):
    """Under the knocker's 0.8 s: an ICMP answer to a SYN alone would be heard at its first retry, after 1 s."""
    assert guarded.knock(A1, protocol, "127.0.0.1", 6379) == "refused"


@BOTH
def test_a_loopback_resolver_is_open_when_named(place, protocol):
    place.fabric.apply_guard(replace(GUARD, resolvers=("127.0.0.53", "::1")))
    try:
        assert place.knock(LONER, protocol, "127.0.0.53", 53) == "resolver"
        assert place.knock(LONER, "tcp", "127.0.0.53", 80) == "refused"
        assert place.knock(LONER, protocol, "::1", 6379) == "refused"
    finally:
        place.fabric.remove_all()


@BOTH
def test_ports_an_admin_shares_are_open_to_every_guest(place, protocol):
    place.fabric.apply_guard(replace(GUARD, shared_ports=(3128,)))
    try:
        assert place.knock(LONER, protocol, "127.0.0.1", 3128) == "proxy"
        assert place.knock(LONER, protocol, "127.0.0.1", 6379) == "refused"
    finally:
        place.fabric.remove_all()


@pytest.mark.parametrize("address", ["198.51.100.255", "255.255.255.255", "224.0.0.251"])
def test_no_shouting_to_everybody_on_a_wire(guarded, address):
    """INV-09: the kernel hands multicast and broadcast back to the host's own listeners, past the loopback rule."""
    assert guarded.knock(A1, "udp", address, 5353) == "refused"
    assert guarded.knock(ORDINARY, "udp", address, 5353) != "refused"


@BOTH
def test_low_port_from_outside(guarded, protocol):
    assert guarded.knock_from_outside(protocol, HOST, 443) == "a1-published"


@BOTH
def test_the_port_behind_a_redirect_is_not_published(guarded, protocol):
    """The outside comes by the public side alone."""
    assert guarded.knock_from_outside(protocol, HOST, 20443) == "silence"


@BOTH
def test_a_loopback_redirect_stays_on_the_host(guarded, protocol):
    assert guarded.knock_from_outside(protocol, HOST, 80) == "refused"


@BOTH
def test_a_forward_answers_whoever_comes_from_outside(guarded, protocol):
    assert guarded.knock_from_outside(protocol, HOST, 18082) == "a1-everywhere"


def test_a_change_is_felt_by_open_connections(guarded):
    """SEC-F3: a forward taken away is closed to a neighbour that already uses it; others keep theirs."""
    with _held(A2, "127.0.0.1", 18080) as neighbour, _held(ORDINARY, "127.0.0.1", 18080) as person:
        assert (neighbour("one"), person("one")) == ("one", "one")
        guarded.fabric.apply_guard(replace(GUARD, allowed={}))
        assert neighbour("two") == "cut"
        assert person("two") == "two"


def test_a_connection_opened_while_the_guard_was_away_goes_on(place):
    """Conntrack meets it in the middle; taken for the asker, the guest is refused, but not reset, until the other side speaks."""
    with _held(ORDINARY, "127.0.0.1", 18090) as ticks:
        place.fabric.apply_guard(GUARD)
        try:
            assert [int(ticks("hello")) for _ in range(20)][-1] >= 20
        finally:
            place.fabric.remove_all()


def test_an_open_connection_outlives_every_change(guarded):
    """INV-01: new rules, and a stranger's flush that the next sweep mends."""
    with _held(ORDINARY, "127.0.0.1", 18090) as ticks, _held(A2, "127.0.0.1", 18090) as neighbour:
        guarded.fabric.apply_guard(replace(GUARD, shared_ports=(3128,)))
        nft.apply("flush ruleset\n")
        guarded.fabric.apply_guard(GUARD)
        for line in (ticks, neighbour):
            assert [int(line("")) for _ in range(20)][-1] >= 20


def refused() -> tuple[int, int]:
    return nfnetlink.counters(((nfnetlink.INET, TABLE),))["refused"]


def test_refused_packets_are_counted_through_changes(guarded):
    assert refused() == (0, 0)
    guarded.knock(A1, "tcp", "127.0.0.1", 6379)
    packets, octets = refused()
    assert packets >= 1
    assert octets >= 40
    guarded.fabric.apply_guard(replace(GUARD, allowed={}))
    assert refused() == (packets, octets)


def test_a_foreign_accept_does_not_open_the_host(guarded):
    """A stranger's table that accepts everything, before or after ours, ends nothing but its own hook."""
    nft.apply(
        "add table inet stranger\n"
        "add chain inet stranger early { type filter hook output priority -10; }\nadd rule inet stranger early accept\n"
        "add chain inet stranger late { type filter hook output priority 10; }\nadd rule inet stranger late accept\n"
    )
    try:
        assert guarded.knock(A1, "tcp", "127.0.0.1", 6379) == "refused"
    finally:
        nft.apply("delete table inet stranger\n")


def test_remove_all_leaves_the_host_as_found(place):
    """INV-04, INV-22: foreign tables, links, addresses and routes, byte for byte."""
    nft.apply("add table inet stranger\nadd chain inet stranger c { type filter hook forward priority 0; policy drop; }\n")
    try:
        before = _host_snapshot()
        place.fabric.apply_guard(GUARD)
        assert before[0] in _host_snapshot()[0]
        place.fabric.remove_all()
        assert _host_snapshot() == before
        assert place.knock(A1, "tcp", "127.0.0.1", 6379) == "redis"
    finally:
        nft.apply("delete table inet stranger\n")


def _host_snapshot() -> list[str]:
    commands = (
        "/usr/sbin/nft list ruleset",
        "/usr/sbin/ip addr",
        "/usr/sbin/ip route show table all",
        "/usr/sbin/ip -6 route show table all",
    )
    return [_output(command.split(), ROOT) for command in commands]
