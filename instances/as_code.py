"""An instance as the commands and the config.json that would make it again. Pure; secrets are named, never shown. Called by views."""

import json
import shlex
from typing import Any

from instances.models import Instance


def config_json(instance: Instance, forwards: list[dict[str, Any]]) -> str:
    """OPS's config.json with what this instance has."""
    shown = {name: value for name, value in instance.env.items() if name not in instance.secret_env}
    run = {
        "Memory": f"{instance.memory_mib}m",
        "CPUs": instance.vcpus,
        "Ports": _ports(forwards, "tcp"),
        "UDPPorts": _ports(forwards, "udp"),
        "InstanceName": instance.name,
    }
    config = {
        "Args": instance.args,
        "Env": shown,
        "NameServers": instance.nameservers,
        "RebootOnExit": instance.reboot_on_exit,
        "RunConfig": {name: value for name, value in run.items() if value},
    }
    return json.dumps({name: value for name, value in config.items() if value}, indent=2, ensure_ascii=False)


def create_line(instance: Instance, forwards: list[dict[str, Any]]) -> str:
    """The `opsweb instance create` line."""
    words = [
        "opsweb",
        "instance",
        "create",
        instance.image.name,
        "-i",
        instance.name,
        "-m",
        f"{instance.memory_mib}m",
        "--smp",
        str(instance.vcpus),
    ]
    for text in _ports(forwards, "tcp"):
        words += ["-p", text]
    for text in _ports(forwards, "udp"):
        words += ["--udp", text]
    for arg in instance.args:
        words += ["-a", arg]
    for name, value in instance.env.items():
        words += ["-e", f"{name}=…" if name in instance.secret_env else f"{name}={value}"]
    return shlex.join(words)


def _ports(forwards: list[dict[str, Any]], protocol: str) -> list[str]:
    return [_port(item) for item in forwards if item["protocol"] == protocol]


def _port(item: dict[str, Any]) -> str:
    ports = str(item["host_port"]) if item["host_port"] == item["guest_port"] else f"{item['host_port']}:{item['guest_port']}"
    if item["host_address"] == "127.0.0.1":
        return ports
    return f"{item['host_address']}:{item['host_port']}:{item['guest_port']}"
