"""Turns an instance's row into the Machine that a driver starts. Reads rows and prepared files; changes nothing."""

import os
import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path

from django.core.exceptions import ValidationError

from instances.hypervisor.base import DriverError, Forward, Machine, TapNic, UserNic
from instances.imaging.base import GuestConfig, GuestNic, ImagingError
from instances.imaging.base_archive import base_archive, cmdline
from instances.imaging.instance_archive import instance_archive
from instances.imaging.kernel import find_kernel
from instances.models import Instance
from instances.reconcile.plugging import Plug, Plugs
from instances.services.texts import check_hosts, check_texts
from instances.shown import watched_ports
from instances.states import Desired
from networks.fabric.base import Mode
from networks.models import Nic
from opsweb.core.errors import Invalid
from opsweb.environment import env

BUSYBOX = Path("/bin/busybox")
ETHERNET_MTU = 1500
DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


def machine_of(instance: Instance, plugs: Plugs) -> Machine:
    """Everything a start needs; `plugs` are those of its NICs that are on networks. Prefetch `nics__forwards`.

    Raises: ImagingError when kernel or busybox are not there, DriverError for a row that can't be.
    """
    check_row(instance)
    nics = list(instance.nics.all())
    accelerator = instance.host.accelerator or "tcg"
    boot = boot_files(accelerator)
    return Machine(
        id=instance.pk,
        name=f"{instance.team.name}-{instance.name}",
        uid=env.uid_base + instance.uid_offset,
        vcpus=instance.vcpus,
        memory_mib=instance.memory_mib,
        kernel=boot.kernel,
        initrd=(boot.base, image_path(instance.image.digest), instance_archive(guest_config(instance, nics, plugs))),
        cmdline=boot.cmdline,
        nics=tuple(TapNic(nic.mac, plugs[nic.position].fds) if nic.position in plugs else user_nic(nic) for nic in nics),
        paused=instance.desired == Desired.PAUSED,
        arch=instance.arch,
        accelerator=accelerator,
    )


CHECKED = frozenset({"name", "arch", "vcpus", "memory_mib", "uid_offset"})


def check_row(instance: Instance) -> None:
    """The rules of the services once more: the web process writes this row, and root acts on it (SEC-F2). Raises: DriverError."""
    try:
        check_texts(instance)
        check_hosts(instance)
        instance.clean_fields(exclude={column.name for column in Instance._meta.fields} - CHECKED)
    except (Invalid, ValidationError, TypeError, AttributeError) as error:
        raise DriverError("start_failed", f"Its row holds what no instance can have: {error}") from error
    if not is_vm_uid(instance.uid_offset):
        raise DriverError("start_failed", "Its row holds a user id that is no VM's.")


def is_vm_uid(offset: int) -> bool:
    """Whether a VM may run as OPSWEB_UID_BASE plus `offset`; 0 is the image builder's, the last ones are networks'."""
    return type(offset) is int and offset in env.vm_offsets


def image_path(digest: str) -> Path:
    """Where a built image lies. Raises: ImagingError for a digest that is none: a row names no path (SEC-B4)."""
    if not DIGEST.fullmatch(digest):
        raise ImagingError("bad_digest", f"{digest[:70]!r} is no digest of an image. Build the image again.")
    return env.state_dir / "images" / f"{digest}.cpio"


@dataclass(frozen=True)
class BootFiles:
    """What every guest of this host shares."""

    kernel: Path
    base: Path  # the first cpio archive: busybox, modules, init
    cmdline: str


@cache
def boot_files(accelerator: str) -> BootFiles:
    """OPSWEB_KERNEL, else the kernel in the state directory, with its base archive. Once for each worker process.

    Raises: ImagingError when there is no kernel or no busybox.
    """
    if env.driver == "fake":
        return BootFiles(Path("/dev/null"), Path("/dev/null"), "")
    kernel = find_kernel(env.state_dir / "kernel", env.kernel)
    base = base_archive(kernel, BUSYBOX)
    path = env.state_dir / "base" / f"{sha256(base).hexdigest()}.cpio"
    if not path.exists():
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(base)
        fresh.replace(path)
    return BootFiles(kernel.image, path, cmdline(accelerator))


def guest_config(instance: Instance, nics: list[Nic], plugs: Plugs) -> GuestConfig:
    """What the guest's init is told: the instance's own small archive."""
    sides = [network_nic(plugs[nic.position]) if nic.position in plugs else user_mode(nic) for nic in nics]
    main = next((side for side in sides if side.leads_out), sides[0] if sides else Side())
    hosts = {name: address for address, name in instance.image.facts.get("hosts", [])} | instance.hosts
    return GuestConfig(
        hostname=instance.name,
        program=instance.image.facts["program"],
        args=tuple(instance.args),
        env=tuple(sorted(instance.env.items())),
        hosts=tuple((address, name) for name, address in sorted(hosts.items())),
        nameservers=tuple(instance.nameservers) or main.nameservers,
        search=main.search,
        nics=tuple(side.nic for side in sides if side.nic),
        watch_ports=tuple(watched_ports(instance)),
        reboot_on_exit=instance.reboot_on_exit,
    )


def subnet(position: int) -> str:
    """The user-mode network of the NIC at `position`: several need one each (slirp's own default comes first)."""
    return f"10.0.{2 + position}.0/24"


def user_nic(nic: Nic) -> UserNic:
    """The host's side of a user-mode NIC."""
    forwards = (Forward(f.protocol, f.host_address, f.bound_port, f.guest_port) for f in nic.forwards.all() if not f.is_withdrawn)
    return UserNic(mac=nic.mac, network=subnet(nic.position), forwards=tuple(forwards))


@dataclass(frozen=True)
class Side:
    """The guest's side of a NIC, and the servers that it would ask for names if this is its main one; (): those that DHCP brings."""

    nic: GuestNic | None = None
    nameservers: tuple[str, ...] = ()
    search: str = ""
    leads_out: bool = True


def user_mode(nic: Nic) -> Side:
    """With slirp's fixed addresses: .15 for the guest, .2 for the gateway, .3 for names."""
    network = ip_network(subnet(nic.position))
    return Side(GuestNic(mac=nic.mac, address=f"{network[15]}/{network.prefixlen}", gateway=str(network[2])), (str(network[3]),))


def network_nic(plug: Plug) -> Side:
    """With its reserved addresses: told where they are fixed, else asked for by DHCP; an IPv6 address is told in both cases."""
    network, nic = plug.network, plug.nic
    leads_out = network.mode is not Mode.ISOLATED
    told = plug.is_fixed or not network.dhcp
    guest = GuestNic(
        mac=nic.mac,
        address=f"{nic.address4}/{ip_network(network.cidr4).prefixlen}" if told else "",
        gateway=network.gateway4 if leads_out else "",
        address6=f"{nic.address6}/{ip_network(network.cidr6).prefixlen}" if nic.address6 else "",
        mtu=0 if network.mtu == ETHERNET_MTU else network.mtu,
    )
    servers = network.resolvers if network.mode is Mode.UPLINK else ()  # of an uplink the bridge has no address to ask
    return Side(guest, (servers or (network.gateway4,)) if told else (), network.domain if told else "", leads_out)
