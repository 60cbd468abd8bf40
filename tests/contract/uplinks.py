"""One end of a veth as the adapter of a host, and the router behind it."""

import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from networks.fabric.base import Mode
from networks.fabric.linux import LinuxFabric
from tests.contract.network_benches import BOB, PLAN, TAG, ip, run
from tests.namespaces import in_own_namespace

UPLINK = replace(
    PLAN,
    mode=Mode.UPLINK,
    adapter="up0",
    cidr4="198.51.100.0/24",
    gateway4="198.51.100.1",
    cidr6="",
    gateway6="",
    dhcp=False,
    nics=(replace(BOB, address4="198.51.100.19", address6=""),),
)


@pytest.fixture
def router() -> Iterator[int]:
    """Sits in a namespace of its own behind up0, as 198.51.100.1 and 2001:db8:1::1; its pid."""
    in_own_namespace()
    holder = subprocess.Popen(["/usr/bin/unshare", "--net", "--", "/bin/sh", "-c", "echo ready; exec sleep 300"], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    ip("link", "add", "up0", "type", "veth", "peer", "name", "far0", "netns", str(holder.pid))
    for command in (
        ("address", "add", "198.51.100.1/24", "dev", "far0"),
        ("-6", "address", "add", "2001:db8:1::1/64", "dev", "far0", "nodad"),
        ("link", "set", "far0", "up"),
    ):
        beyond(holder.pid, "ip", *command)
    ip("address", "add", "198.51.100.2/24", "broadcast", "198.51.100.255", "dev", "up0")
    ip("address", "add", "198.51.100.3/24", "dev", "up0")
    ip("-6", "address", "add", "2001:db8:1::2/64", "dev", "up0", "nodad")
    ip("link", "set", "up0", "up")
    ip("route", "add", "default", "via", "198.51.100.1", "metric", "50")
    ip("route", "add", "203.0.113.0/24", "via", "198.51.100.1", "src", "198.51.100.3")
    ip("-6", "route", "add", "default", "via", "2001:db8:1::1", "dev", "up0", "metric", "70")
    yield holder.pid
    ip("link", "delete", "up0")
    holder.kill()
    holder.wait(5)
    holder.stdout.close()


def beyond(pid: int, *command: str) -> str:
    return run("nsenter", f"--net=/proc/{pid}/ns/net", "--", *command)


@pytest.fixture
def fabric(short_path: Path, router: int) -> Iterator[LinuxFabric]:
    short_path.chmod(0o755)
    made = LinuxFabric(TAG, short_path)
    made.host_network()
    assert reaches_router()
    yield made
    made.remove_all()


def reaches_router() -> bool:
    """Nobody listens there: a refusal is the router's own answer."""
    try:
        socket.create_connection(("198.51.100.1", 9), timeout=3).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True
