"""A fabric of either kind with one network on it, the ways a host changes behind its back, and a host's snapshot."""

import difflib
import gc
import os
import re
import select
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from networks.fabric.base import Endpoint, ForwardPlan, Mode, NetworkPlan, NicPlan, RulePlan
from networks.fabric.fake import FakeFabric
from networks.fabric.linux import LinuxFabric

TAG = "c0de"
RULE = RulePlan(UUID(int=99), allow=True, inbound=True)
BOB = NicPlan("owc0de00000001t", "02:00:00:00:00:01", "bob", "192.168.33.19", "fd12:3456:789a::13", rules=(RULE,))
ANN = NicPlan("owc0de00000002t", "02:00:00:00:00:02", "ann", "192.168.33.20", "fd12:3456:789a::14")
PLAN = NetworkPlan(
    id=UUID(int=1),
    name="br0",
    bridge="owc0de0000000ab",
    mode=Mode.NAT,
    cidr4="192.168.33.0/24",
    gateway4="192.168.33.1",
    cidr6="fd12:3456:789a::/64",
    gateway6="fd12:3456:789a::1",
    domain="net.internal",
    resolvers=("192.0.2.53",),
    records=(("db", "192.168.33.200"),),
    nics=(BOB, ANN),
    uid=910201,
)
OTHER = replace(
    PLAN,
    id=UUID(int=2),
    name="br1",
    bridge="owc0de0000000bb",
    mode=Mode.ISOLATED,
    cidr4="192.168.34.0/24",
    gateway4="192.168.34.1",
    cidr6="",
    gateway6="",
    nics=(NicPlan("owc0de00000003t", "02:00:00:00:00:03", "eve", "192.168.34.19"),),
    uid=910202,
)
FORWARDED = replace(PLAN, nics=(replace(BOB, forwards=(ForwardPlan(Endpoint("tcp", "127.0.0.1", 8080), 80),)), ANN))


@dataclass
class NetworkBench:
    """A driver, a second one as another process would open it, and what strangers do."""

    fabric: FakeFabric | LinuxFabric
    same: FakeFabric | LinuxFabric
    lose: Callable[[NetworkPlan, str], None]  # "bridge", "address" or "dnsmasq"
    lose_tap: Callable[[str], None]
    flush: Callable[[], None]


def fake_bench(run_dir: Path) -> NetworkBench:
    """Files only."""
    fake = FakeFabric(TAG, run_dir)
    return NetworkBench(fake, FakeFabric(TAG, run_dir), lambda network, what: fake.lose(network.id, what), fake.lose_tap, fake.lose_filter)


def linux_bench(run_dir: Path) -> NetworkBench:
    """The kernel of this namespace."""

    def lose(network: NetworkPlan, what: str) -> None:
        if what == "bridge":
            ip("link", "delete", network.bridge)
        elif what == "address":
            ip("address", "delete", f"{network.gateway4}/24", "dev", network.bridge)
        else:
            kill_dnsmasq(run_dir, network)

    return NetworkBench(
        LinuxFabric(TAG, run_dir),
        LinuxFabric(TAG, run_dir),
        lose,
        lambda tap: ip("link", "delete", tap),
        lambda: run("nft", "flush", "ruleset"),
    )


@contextmanager
def removed_afterwards(bench: NetworkBench) -> Iterator[NetworkBench]:
    """Whatever the test left is taken away, its processes above all."""
    try:
        yield bench
    finally:
        bench.fabric.remove_all()


def run(*command: str) -> str:
    """Its output; a failure fails the test."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10, env={"PATH": "/usr/sbin:/usr/bin:/bin"}).stdout


def ip(*arguments: str) -> str:
    """ip(8)."""
    return run("ip", *arguments)


def dnsmasq_pids(run_dir: Path) -> list[int]:
    """Processes with settings below `run_dir`, zombies left out."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if f"--conf-file={run_dir}/".encode() in command:
            found.append(int(entry.name))
    return sorted(found)


def kill_dnsmasq(run_dir: Path, network: NetworkPlan) -> None:
    """As a stranger or the kernel short of memory does; returns when it is dead."""
    for pid in dnsmasq_pids(run_dir / "net" / str(network.id)):
        process = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(process, signal.SIGKILL)
            _await_end(process)
        finally:
            os.close(process)


def snapshot(run_dir: Path) -> dict[str, list[str]]:
    """What of a host must be the same before and after: links, addresses, routes, rules, switches, processes, files, descriptors."""
    gc.collect()  # what an earlier test left open goes now, not in between
    switches = ("ipv4/ip_forward", "ipv6/conf/all/forwarding")
    return {
        "links": _stable(ip("-d", "link")),
        "addresses": _stable(ip("address")),
        "routes": _stable(ip("route", "show", "table", "all")),
        "fdb": _stable(run("bridge", "fdb", "show")),
        "nft": run("nft", "-s", "list", "ruleset").splitlines(),
        "forwarding": [Path(f"/proc/sys/net/{name}").read_text() for name in switches],
        "processes": [f"dnsmasq {pid}" for pid in dnsmasq_pids(run_dir)],
        "files": sorted(str(path) for path in run_dir.rglob("*") if path.is_file() and path.suffix != ".lock"),
        "descriptors": [str(len(list(Path("/proc/self/fd").iterdir())))],
    }


def changes(before: dict[str, list[str]], after: dict[str, list[str]]) -> dict[str, list[str]]:
    """What differs, as a diff's lines; {} when nothing does."""
    return {
        name: [line for line in difflib.ndiff(before[name], after[name]) if line[0] in "+-"]
        for name in before
        if before[name] != after[name]
    }


_TIMERS = "hello_timer|tcn_timer|topology_change_timer|gc_timer|topology_change|state"
_MOVING = re.compile(rf"\b({_TIMERS}) +\S+|\b(linkdown|tentative)\b|,?(NO-CARRIER|LOWER_UP),?")


def _stable(text: str) -> list[str]:
    """In order, without what the kernel changes by itself: timers, carrier, and IPv6 link-local and multicast, which come with it."""
    lines = (line for line in text.splitlines() if not re.search(r"valid_lft|fe80::|ff0[02]:|33:33:|01:00:5e", line))
    return sorted(" ".join(_MOVING.sub("", line).split()) for line in lines)


def _await_end(process: int) -> None:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    assert poll.poll(5000), "a killed process did not end"
