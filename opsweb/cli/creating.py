"""Asks the panel for an instance as the flags say, and shows one. Used by `run` and `instance create`."""

from argparse import Namespace

from opsweb.cli import config_file, operations
from opsweb.cli.client import Json, Panel
from opsweb.cli.problems import Refused
from opsweb.cli.screen import Screen

START_SECONDS = 180.0


def request(args: Namespace, panel: Panel, image: str, name: str | None) -> Json:
    """The body of the request: only what was said, so that config, image and panel decide the rest."""
    return {
        "name": name,
        "team": panel.team,
        "image": image,
        "vcpus": args.smp,
        "memory_mib": args.memory,
        "args": args.args or None,
        "env": dict(args.env) or None,
        "ports": args.port or None,
        "udp_ports": args.udp or None,
        "bridging": _bridging(args) or None,
        "start": True,
    }


def check_ports(args: Namespace, panel: Panel) -> None:
    """Before anything is built for them. Raises: Usage."""
    if args.port or args.udp:
        config_file.check(panel, "{}", ports=args.port, udp_ports=args.udp)


BRIDGING = ("bridged", "bridge_name", "tap_name", "ip_address", "ipv6_address", "net_mask", "gateway", "bridge_ip_address")


def _bridging(args: Namespace) -> Json:
    said = {name: value for name in BRIDGING if (value := getattr(args, name))}
    return said | ({"create_network": False} if args.no_create else {})


def create(panel: Panel, screen: Screen, body: Json) -> tuple[Json, Json | None]:
    """Write the instance down and have it started; returns it with the start's operation."""
    answer = panel.post("instances/", body)
    screen.notes(answer.get("notes") or [])
    return answer["instance"], answer.get("operation")


def started(panel: Panel, instance: Json, operation: Json | None) -> Json:
    """Wait for the start; returns the instance as it is then. Raises: Refused with the driver's own sentence."""
    try:
        operations.finish(panel, operation, seconds=START_SECONDS)
    except Refused as problem:
        # Lost or overtaken: the wish stands, and the panel converges; the instance itself tells.
        if problem.code not in ("lost", "superseded"):
            raise
    return panel.patient(lambda: panel.get(f"instances/{instance['id']}/"))


def summary(instance: Json) -> str:
    """Name and state on the first line, a NIC on a network or an address on each that follows."""
    lines = [f"{instance['name']}: {instance['label']}"]
    if instance.get("message"):
        lines.append(f"  {instance['message']}")
    on_networks = [_nic(nic) for nic in instance.get("nics") or [] if nic.get("network")]
    return "\n".join([*lines, *(f"  {where}" for where in [*on_networks, *_reached_at(instance)])])


def details(instance: Json) -> str:
    """Everything that matters, one fact a line."""
    facts = {
        "name": instance["name"],
        "state": instance["label"],
        "message": instance.get("message"),
        "id": instance["id"],
        "team": instance["team"],
        "image": (instance.get("image") or {}).get("name"),
        "size": _size(instance),
        "args": " ".join(instance.get("args") or []),
        "env": " ".join(f"{name}={'•••' if value is None else value}" for name, value in (instance.get("env") or {}).items()),
        "networks": "\n".join(map(_nic, instance.get("nics") or [])),
        "hosts": " ".join(f"{name}={address}" for name, address in (instance.get("hosts") or {}).items()),
        "restart": instance.get("restart_policy"),
        "restart to apply": ", ".join(instance.get("restart_to_apply") or []),
        "exit": ended(instance),
        "created": f"{instance.get('created_at')} by {instance.get('created_by')}",
        "started": instance.get("started_at"),
        "reached at": "\n".join(_reached_at(instance)),
    }
    return _lines({name: str(value) for name, value in facts.items() if value})


def row(instance: Json) -> tuple[object, ...]:
    """One line of `instance list`; HEAD names the columns."""
    image = (instance.get("image") or {}).get("name", "")
    return (instance["name"], instance["label"], ", ".join(instance.get("addresses") or []), image, _size(instance), instance["team"])


HEAD = ("NAME", "STATE", "ADDRESSES", "IMAGE", "SIZE", "TEAM")


def ended(instance: Json) -> str:
    """How its last run ended; "" while nothing is known."""
    facts = instance.get("exit") or {}
    parts = []
    if facts.get("code") is not None:
        parts.append(f"code {facts['code']}")
    if facts.get("signal"):
        parts.append(f"signal {facts['signal']}")
    return ", ".join([*parts, *(str(facts[key]) for key in ("message", "reason") if facts.get(key))][:2])


def _reached_at(instance: Json) -> list[str]:
    return [_forward(port) for port in instance.get("ports") or []]


def _nic(nic: Json) -> str:
    words = [nic["name"], "on", nic.get("network") or "user mode", nic.get("address4"), nic.get("address6")]
    return " ".join(str(word) for word in words if word)


def _forward(port: Json) -> str:
    here = f"{port['host_address']}:{port['host_port']}"
    return f"{port.get('url') or here} → {port['protocol']} {port['guest_port']}"


def _size(instance: Json) -> str:
    return f"{instance.get('vcpus')} vCPU, {instance.get('memory_mib')} MiB"


def _lines(facts: dict[str, str]) -> str:
    width = max(map(len, facts)) + 2
    return "\n".join(f"{name + ':':<{width}}" + value.replace("\n", "\n" + " " * width) for name, value in facts.items())
