"""Rows: a network is made, NICs are plugged into it: by the driver, and by `ip -batch` and `bridge -batch` doing the same."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from unittest import mock
from uuid import UUID

from networks.fabric import dnsmasq, links, nft
from networks.fabric.base import Mode, NetworkPlan, NicPlan
from networks.fabric.dnsmasq_text import Paths
from networks.fabric.filter import render, render_removal
from networks.fabric.linux import LinuxFabric
from tests.bench.panel import BenchPanel
from tests.bench.table import Row, ours_at_most, ratio_at_most, side_by_side

TAG = "be4c"
ROUNDS = 11
NICS = 200
MANY_ROUNDS = 3
SECONDS = 20  # for whatever is run
PLAN = NetworkPlan(
    UUID(int=1), "br0", f"ow{TAG}00000001b", Mode.NAT, "10.9.0.0/16", "10.9.0.1", "fd12:3456:789a::/64", "fd12:3456:789a::1", uid=910_301
)  # fmt: skip
BRIDGE = f"""
link add {PLAN.bridge} address {links.mac_of(PLAN.bridge)} type bridge stp_state 0 mcast_snooping 0 nf_call_iptables 1 nf_call_ip6tables 1
link set {PLAN.bridge} mtu 1500 alias opsweb addrgenmode none
addr add {PLAN.gateway4}/16 brd 10.9.255.255 dev {PLAN.bridge}
addr add {PLAN.gateway6}/64 dev {PLAN.bridge} nodad
link set {PLAN.bridge} up
"""
TEXT = render(TAG, (PLAN,))
TAP = """
tuntap add dev {tap} mode tap vnet_hdr
link set {tap} master {bridge} mtu 1500 addrgenmode none
link set {tap} type bridge_slave learning off flood off isolated off hairpin on guard on
link set {tap} up
"""


def nic(number: int) -> NicPlan:
    """The NIC with this number, counted from 1."""
    tap, mac = f"ow{TAG}{number:08x}t", f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"
    return NicPlan(tap, mac, f"guest-{number}", f"10.9.{(number + 9) >> 8}.{(number + 9) & 255}", f"fd12:3456:789a::{number + 9:x}")


def measure(bench: BenchPanel) -> list[Row]:
    """In turn. Ours judges the plan, looks at what is there and knows the way back; the reference is told what to do, by ready files."""
    with tempfile.TemporaryDirectory(prefix="owb") as place:
        Path(place).chmod(0o755)  # as the run directory is: dnsmasq reads its files below it
        fabric = LinuxFabric(TAG, Path(place))
        try:
            return [_made(fabric, Path(place)), _made_with_dnsmasq(fabric, Path(place)), _plugged(fabric), _many(fabric)]
        finally:
            fabric.remove_all()


def _made(fabric: LinuxFabric, place: Path) -> Row:
    with mock.patch.object(dnsmasq, "ensure"):
        return _networks(fabric, "network", "network made: bridge, addresses, filter", lambda: _make_bare(""), lambda: None)


def _made_with_dnsmasq(fabric: LinuxFabric, place: Path) -> Row:
    """The reference starts a dnsmasq on a copy of the settings that ours gave to its own."""
    _make(fabric)
    copy = place / "bare"
    shutil.copytree(place / "net" / str(PLAN.id), copy)
    conf = Paths(copy).conf
    conf.write_text(conf.read_text().replace(str(place / "net" / str(PLAN.id)), str(copy)))
    for path in (copy, *copy.rglob("*")):
        os.chown(path, PLAN.uid, PLAN.uid)
    _take_away(fabric)
    make, end = partial(_make_bare, str(conf)), partial(dnsmasq.end, Paths(copy))
    return _networks(fabric, "network-dnsmasq", "the same with its dnsmasq, until that serves", make, end)


def _networks(fabric: LinuxFabric, key: str, what: str, bare: Callable[[], None], end: Callable[[], None]) -> Row:
    ours, other = [], []
    for number in range(ROUNDS + 1):
        mine = _timed(lambda: _make(fabric))
        _take_away(fabric)
        reference = _timed(bare)
        end()
        _run("ip", f"link del {PLAN.bridge}\n")
        nft.apply(render_removal(TAG))
        if number:
            ours.append(mine)
            other.append(reference)
    return side_by_side(key, what, "ms", ours, other, ratio_at_most(2), "reference: ip -batch, nft -f and the like with ready files")


def _make(fabric: LinuxFabric) -> None:
    fabric.apply_filter((PLAN,))
    fabric.apply_network(PLAN)


def _take_away(fabric: LinuxFabric) -> None:
    fabric.remove_network(PLAN.id, PLAN.bridge)
    fabric.apply_filter(())


def _make_bare(conf: str) -> None:
    nft.apply(TEXT)
    _run("ip", BRIDGE)
    if conf:
        subprocess.run([dnsmasq.DNSMASQ, f"--conf-file={conf}"], check=True, timeout=SECONDS)


def _plugged(fabric: LinuxFabric) -> Row:
    one = nic(1)
    plan = replace(PLAN, nics=(one,))
    ours, bare = [], []
    with _standing(fabric, plan):
        for number in range(3 * ROUNDS + 1):
            descriptors: list[int] = []
            mine = _timed(lambda plugged=descriptors: plugged.extend(fabric.plug(plan, one)))
            _close(descriptors)
            other = _timed(lambda: _plug_bare(one))
            _run("ip", f"link del {one.tap}\n")
            if number:
                ours.append(mine)
                bare.append(other)
    return side_by_side("plug", "tap plugged into a network", "ms", ours, bare, ratio_at_most(2), "reference: ip -batch and bridge -batch")


def _plug_bare(one: NicPlan) -> None:
    _run("ip", TAP.format(tap=one.tap, bridge=PLAN.bridge))
    _run("bridge", f"fdb add {one.mac} dev {one.tap} master static\n")


def _many(fabric: LinuxFabric) -> Row:
    plan = replace(PLAN, nics=tuple(nic(number) for number in range(1, NICS + 1)))
    taken = []
    with _standing(fabric, PLAN):
        for _ in range(MANY_ROUNDS):
            descriptors: list[int] = []
            taken.append(_timed(lambda plugged=descriptors: plugged.extend(_plug_all(fabric, plan))) / 1000)
            _close(descriptors)
            fabric.apply_filter((PLAN,))
    what = f"{NICS} NICs plugged into one network, with its filter"
    return Row("plug-many", what, "s", median(taken), None, None, ours_at_most(2, "s"), f"{MANY_ROUNDS} rounds")


def _plug_all(fabric: LinuxFabric, plan: NetworkPlan) -> list[int]:
    fabric.apply_filter((plan,))
    return [descriptor for one in plan.nics for descriptor in fabric.plug(plan, one)]


@contextmanager
def _standing(fabric: LinuxFabric, plan: NetworkPlan) -> Iterator[None]:
    fabric.apply_filter((plan,))
    with mock.patch.object(dnsmasq, "ensure"):
        fabric.apply_network(plan)
    try:
        yield
    finally:
        _take_away(fabric)


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _run(program: str, lines: str) -> None:
    subprocess.run([f"/usr/sbin/{program}", "-batch", "-"], input=lines, text=True, check=True, timeout=SECONDS)


def _timed(do: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    do()
    return (time.perf_counter() - began) * 1000
