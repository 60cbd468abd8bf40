"""Row: TCP from guest to guest on one bridge, with our filter and with neither filter nor bridge netfilter. Guests are namespaces."""

import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from networks.fabric.base import NetworkPlan, RulePlan
from networks.fabric.packet_filter import PacketFilter
from tests.bench.panel import BenchPanel
from tests.bench.table import Row, ratio_at_least, side_by_side
from tests.host.meeting import RED, TAG, guest, rule
from tests.host.spaces import Space, bridge_option, ip, listener
from tests.host.taps import bridged

SECONDS = 0.5  # of one round
ROUNDS = 21
CHUNK = 256 * 1024  # bytes: what a large write of a program is
RULES = (rule(True, True, "tcp", (80, 80)), rule(True, True, "icmp"), rule(False, True, "udp"), rule(False, False, "tcp", (25, 25)))


def measure(bench: BenchPanel) -> list[Row]:
    """Rounds alternate over one connection each; of a network without rules of people's, and of one with four."""
    return [
        _row("throughput", "guest → guest on one bridge, TCP", ()),
        _row("throughput-rules", "the same under four rules", RULES),
    ]


def _row(key: str, what: str, rules: tuple[RulePlan, ...]) -> Row:
    plan = replace(RED, nics=tuple(replace(nic, rules=rules) for nic in RED.nics))
    with tempfile.TemporaryDirectory(prefix="owb") as place, _guests(plan) as (near, far):
        packet_filter = PacketFilter(TAG, Path(place))
        ours, bare = [], []
        for number in range(ROUNDS + 1):
            packet_filter.apply((plan,))
            _called(plan, 1)
            mine = _gigabits(near, far, plan.nics[1].address4)
            packet_filter.remove()
            _called(plan, 0)
            other = _gigabits(near, far, plan.nics[1].address4)
            if number:
                ours.append(mine)
                bare.append(other)
    note = f"of {SECONDS:g} s; reference: the same bridge without filter and bridge netfilter"
    return side_by_side(key, what, "Gbit/s", ours, bare, ratio_at_least(0.95), note)


@contextmanager
def _guests(plan: NetworkPlan) -> Iterator[tuple[Space, Space]]:
    with ExitStack() as stack:
        near, far = (stack.enter_context(Space()) for _ in plan.nics)
        stack.enter_context(bridged(plan.bridge, "02:00:00:00:01:01", addresses=(f"{plan.gateway4}/24",)))
        for space, nic in zip((near, far), plan.nics, strict=True):
            guest(space, plan, nic)
            stack.callback(ip, f"link del {nic.tap}")
        yield near, far


def _called(plan: NetworkPlan, value: int) -> None:
    for name in ("iptables", "ip6tables"):
        bridge_option(plan.bridge, f"nf_call_{name}", value)


def _gigabits(near: Space, far: Space, address: str) -> float:
    """Sent in SECONDS over a new connection and read to its end."""
    with ExitStack() as stack:
        door = stack.enter_context(listener(far, "tcp", address, 80))
        with near.inside():
            sender = stack.enter_context(socket.create_connection((address, 80), timeout=5))
        receiver = stack.enter_context(door.accept()[0])
        drain = threading.Thread(target=_drain, args=(receiver,))
        drain.start()
        began = time.perf_counter()
        sent = _flood(sender, began + SECONDS)
        sender.shutdown(socket.SHUT_WR)
        drain.join(10)
        return sent * 8 / (time.perf_counter() - began) / 1e9


def _flood(sender: socket.socket, end: float) -> int:
    sent, chunk = 0, bytes(CHUNK)
    while time.perf_counter() < end:
        sender.sendall(chunk)
        sent += CHUNK
    return sent


def _drain(receiver: socket.socket) -> None:
    room = bytearray(4 * CHUNK)
    while receiver.recv_into(room):
        pass
