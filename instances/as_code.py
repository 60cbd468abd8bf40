"""An instance as the commands and the config.json that would make it again. Pure; secrets are named, never shown. Called by views."""

import json
import shlex
from typing import Any

from instances.imaging.opsnetwork import OPS_FLAGS, OPS_NAMES
from instances.models import Instance

Items = list[dict[str, Any]]  # of instances.shown


def config_json(instance: Instance, forwards: Items, nics: Items) -> str:
    """OPS's config.json with what this instance has."""
    shown = {name: value for name, value in instance.env.items() if name not in instance.secret_env}
    run = {
        "Memory": f"{instance.memory_mib}m",
        "CPUs": instance.vcpus,
        "Ports": _ports(forwards, "tcp"),
        "UDPPorts": _ports(forwards, "udp"),
        "InstanceName": instance.name,
        **_bridged(nics),
    }
    config = {
        "Args": instance.args,
        "Env": shown,
        "NameServers": instance.nameservers,
        "RebootOnExit": instance.reboot_on_exit,
        "RunConfig": {name: value for name, value in run.items() if value},
    }
    return json.dumps({name: value for name, value in config.items() if value}, indent=2, ensure_ascii=False)


def _bridged(nics: Items) -> dict[str, Any]:
    """RunConfig's words for NICs on networks; OPS has none for a user-mode NIC behind one on a network."""
    words = [_address(nic) | ({"BridgeName": nic["network"]} if nic["network"] else {}) for nic in nics]
    more = {"Nics": words} if any(words[1:]) else {}
    if not nics or not nics[0]["network"]:
        return more
    return {"Bridged": True, "TapName": nics[0]["name"], **words[0], **more}


def _address(nic: dict[str, Any]) -> dict[str, str]:
    if not nic["fixed"]:
        return {}
    return {name: nic[key] for name, key in (("IPAddress", "address4"), ("IPv6Address", "address6")) if nic[key]}


def _network_words(nics: Items) -> list[str]:
    """Flags speak of one NIC; several take the config."""
    bridged = _bridged(nics)
    if "Nics" in bridged:
        return ["-c", "config.json"]
    said = {flag: bridged[OPS_NAMES[name]] for name, flag in OPS_FLAGS.items() if OPS_NAMES[name] in bridged}
    return [word for flag, value in said.items() for word in ((flag,) if value is True else (flag, value))]


def create_line(instance: Instance, forwards: Items, nics: Items) -> str:
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
        *_network_words(nics),
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


def _ports(forwards: Items, protocol: str) -> list[str]:
    return [_port(item) for item in forwards if item["protocol"] == protocol]


def _port(item: dict[str, Any]) -> str:
    ports = str(item["host_port"]) if item["host_port"] == item["guest_port"] else f"{item['host_port']}:{item['guest_port']}"
    if item["host_address"] == "127.0.0.1":
        return ports
    return f"{item['host_address']}:{item['host_port']}:{item['guest_port']}"
