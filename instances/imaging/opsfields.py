"""Every field of OPS's config.json that is known, and what the panel does with it. A table and two look-ups; read by `opsconfig`."""

import difflib
from collections.abc import Mapping
from typing import Final

USED: Final = ""  # in place of a note: the field is honoured, nothing needs saying

_NANOS = "belongs to the Nanos runtime; this instance runs on Linux, so it has no effect."
_HOST_FILE = "names a file or address outside the upload; the panel never reads those, so it has no effect."
_BUILD_TREE = "says where OPS keeps its own files on a workstation; the panel has its own places, so it has no effect."
_CLOUD = "is for cloud providers; instances here run on the panel's own host, so it has no effect."
_VOLUME = "is not acted on: volumes are not there yet, and directories of the host are never shared with a guest."
_DEBUG = "is for debugging with OPS; the panel shows console, steps and exit facts instead, so it has no effect."
_PACKAGE = "describes a package; it has no effect on an image or an instance."

_TOP: Final = {
    "Args": USED,
    "BaseVolumeSz": "sizes the disk of a Nanos image; a Linux image is held in memory and is as large as its files.",
    "Boot": f"{_HOST_FILE}",
    "BuildDir": _BUILD_TREE,
    "CloudConfig": USED,
    "Debugflags": _NANOS,
    "Description": _PACKAGE,
    "Dirs": USED,
    "DisableArgsCopy": "has no effect: arguments belong to the instance here, never to the image.",
    "Env": USED,
    "Files": USED,
    "Force": "has no effect: to replace an image, delete the one of that name first.",
    "Home": _BUILD_TREE,
    "Kernel": _HOST_FILE,
    "KlibDir": _HOST_FILE,
    "Klibs": _NANOS,
    "Language": _PACKAGE,
    "LocalFilesParentDirectory": "is followed by the command line when it packs files; inside the upload it has no effect.",
    "ManifestPassthrough": _NANOS,
    "MapDirs": USED,
    "Mounts": _VOLUME,
    "NameServers": USED,
    "NanosVersion": _NANOS,
    "NightlyBuild": _NANOS,
    "NoTrace": _NANOS,
    "PackageBaseURL": _HOST_FILE,
    "PackageManifestURL": _HOST_FILE,
    "Program": USED,
    "ProgramPath": "is where the program lay on the machine that packed it; only the upload counts here.",
    "RebootOnExit": USED,
    "RunConfig": USED,
    "Runtime": _PACKAGE,
    "TFSv4": _NANOS,
    "TargetConfig": "holds settings of another provider; it has no effect here.",
    "TargetRoot": "names a directory of the host to look for libraries in; put the libraries into the upload instead.",
    "Uefi": _NANOS,
    "UefiBoot": _HOST_FILE,
    "Version": _PACKAGE,
    "VolumesDir": _BUILD_TREE,
}

_RUN: Final = {
    "Accel": "has no effect: the panel's host decides whether hardware acceleration is used.",
    "AtExit": "is a shell command for the host. The panel never runs commands from a config.",
    "AttachVolumeOnInstanceCreate": _CLOUD,
    "Background": "has no effect: every instance runs in the background, its console stays open.",
    "BackgroundDetach": "has no effect: every instance runs in the background, its console stays open.",
    "BridgeIPAddress": USED,
    "BridgeName": USED,
    "Bridged": USED,
    "CanIPForward": _CLOUD,
    "CPUs": USED,
    "Debug": _DEBUG,
    "GPUs": "has no effect: devices of the host are not passed to guests.",
    "GPUType": "has no effect: devices of the host are not passed to guests.",
    "Gateway": USED,
    "GdbPort": _DEBUG,
    "IPAddress": USED,
    "IPv6Address": USED,
    "ImageName": USED,
    "InstanceGroup": _CLOUD,
    "InstanceName": USED,
    "JSON": _DEBUG,
    "Kernel": _HOST_FILE,
    "Memory": USED,
    "Mgmt": "is a control port of QEMU on the host; the panel keeps control of its machines to itself.",
    "Mounts": _VOLUME,
    "NetMask": USED,
    "Nics": USED,
    "Ports": USED,
    "QMP": "is a control port of QEMU on the host; the panel keeps control of its machines to itself.",
    "ShowDebug": _DEBUG,
    "ShowErrors": _DEBUG,
    "ShowWarnings": _DEBUG,
    "TapName": USED,
    "ThreadsPerCore": _CLOUD,
    "UDPPorts": USED,
    "Verbose": _DEBUG,
    "Vga": "has no effect: a guest has a serial console and no screen.",
    "VirtfsShares": "would share a directory of the host with the guest; the panel never does.",
    "VolumeSizeInGb": _CLOUD,
}

_CLOUD_ONLY = (
    *("BucketName", "BucketNamespace", "ConfidentialVM", "DedicatedHostID", "DomainName", "EnableIPv6", "Flavor", "ImageType"),
    *("InstanceProfile", "KMS", "ProjectID", "RootVolume", "SecurityGroup", "SkipImportVerify", "Spot", "StaticIP", "Subnet"),
    *("Tags", "UserData", "VPC", "Zone"),
)

FIELDS: Final[Mapping[str, Mapping[str, str]]] = {
    "": _TOP,
    "RunConfig": _RUN,
    "CloudConfig": {
        "ImageName": USED,
        "Platform": "counts as onprem: instances run on the panel's own host.",
        **dict.fromkeys(_CLOUD_ONLY, _CLOUD),
    },
    "RunConfig.Nics": dict.fromkeys(("IPAddress", "IPv6Address", "NetMask", "Gateway", "BridgeName"), USED),
}


def spelled(section: str, name: str) -> str | None:
    """The field's own spelling; OPS takes keys in any case. None where the section has no such field."""
    return next((known for known in FIELDS[section] if known.lower() == name.lower()), None)


def suggestion(section: str, name: str) -> str:
    """A sentence for an unknown field: where it belongs, or the nearest known one; "" when nothing is near."""
    for other in FIELDS:
        known = spelled(other, name)
        if known is not None:
            return f"{known} belongs into {other}." if other else f"{known} belongs to the top level."
    near = difflib.get_close_matches(name.lower(), [known.lower() for known in FIELDS[section]], n=1, cutoff=0.6)
    return f"Did you mean {spelled(section, near[0])}?" if near else _elsewhere(name)


def _elsewhere(name: str) -> str:
    places = {known.lower(): (section, known) for section in ("", "RunConfig", "CloudConfig") for known in FIELDS[section]}
    near = difflib.get_close_matches(name.lower(), places, n=1, cutoff=0.7)
    if not near:
        return ""
    section, known = places[near[0]]
    return f"Did you mean {known} in {section}?" if section else f"Did you mean {known} at the top level?"
