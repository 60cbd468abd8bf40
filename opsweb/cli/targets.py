"""OPS's targets: ours, and a sentence for those who mean another one, with the config.json to take there. Used by `instance create`."""

import json
from collections.abc import Sequence

from opsweb.cli.problems import Usage

OURS = "onprem"
OTHERS = (
    *("aws", "azure", "do", "gcp", "hetzner", "hyper-v", "ibm", "linode", "oci", "openshift", "openstack", "proxmox", "relayered"),
    *("scaleway", "upcloud", "vbox", "vsphere", "vultr"),
)


def refusal(target: str, image: str, config: str | None, ports: Sequence[str]) -> Usage:
    """What to say to `-t target`."""
    ours = f"This panel runs instances on its own hosts, which is -t {OURS}."
    if target not in OTHERS:
        return Usage(f"{ours} {target} is no target of OPS either.", code="bad_target")
    what = _adapted(target, config) if config else f"the config.json {_minimal(target, ports)}"
    there = f"For {target} take the program to OPS, with {what}: `ops instance create -t {target} -c config.json {image}`."
    return Usage(f"{ours} {there} On a cloud its own network is the better one; a bridge there is slow.", code="bad_target")


def _adapted(target: str, config: str) -> str:
    without = "RunConfig without Bridged, BridgeName, TapName and IPAddress"
    return f'{config} changed in two places: CloudConfig with "Platform": "{target}" and what that provider asks for, and {without}'


def _minimal(target: str, ports: Sequence[str]) -> str:
    cloud = {"Platform": target, "ProjectID": "…", "Zone": "…", "BucketName": "…"}
    return json.dumps({"CloudConfig": cloud} | ({"RunConfig": {"Ports": list(ports)}} if ports else {}), ensure_ascii=False)
