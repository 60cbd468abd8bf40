"""Turns an instance's row into the Machine that a driver starts. Reads rows and prepared files; changes nothing."""

from functools import cache
from ipaddress import ip_network
from pathlib import Path

from instances.hypervisor.base import Forward, Machine, UserNic
from instances.imaging.base import GuestConfig, GuestNic
from instances.imaging.instance_archive import instance_archive
from instances.imaging.kernel import Kernel, find_kernel
from instances.imaging.runtime import CMDLINE, base_archive
from instances.models import Instance
from instances.states import Desired
from networks.models import Nic
from opsweb.environment import env

BUSYBOX = Path("/bin/busybox")


def machine_of(instance: Instance) -> Machine:
    """Everything a start needs. Raises: ImagingError when kernel or busybox are not there."""
    nics = list(instance.nics.prefetch_related("forwards"))
    return Machine(
        id=instance.pk,
        name=f"{instance.team.name}-{instance.name}",
        uid=env.uid_base + instance.uid_offset,
        vcpus=instance.vcpus,
        memory_mib=instance.memory_mib,
        kernel=kernel().image,
        initrd=(base_path(), image_path(instance.image.digest), instance_archive(guest_config(instance, nics))),
        cmdline=CMDLINE,
        nics=tuple(user_nic(nic) for nic in nics),
        paused=instance.desired == Desired.PAUSED,
        arch=instance.arch,
        accelerator=instance.host.accelerator or "tcg",
    )


def image_path(digest: str) -> Path:
    """Where a built image lies."""
    return env.state_dir / "images" / f"{digest}.cpio"


@cache
def kernel() -> Kernel:
    """The Linux runtime's kernel: OPSWEB_KERNEL, else the one in the state directory."""
    return find_kernel(env.kernel or env.state_dir / "kernel")


@cache
def base_path() -> Path:
    """The part that every guest shares; made once for each kernel and busybox."""
    return base_archive(kernel(), BUSYBOX, env.state_dir / "base")


def guest_config(instance: Instance, nics: list[Nic]) -> GuestConfig:
    """What the guest's init is told: the instance's own small archive."""
    hosts = {name: address for address, name in instance.image.facts.get("hosts", [])} | instance.hosts
    return GuestConfig(
        hostname=instance.name,
        program=instance.image.facts["program"],
        args=tuple(instance.args),
        env=tuple(sorted(instance.env.items())),
        hosts=tuple((address, name) for name, address in sorted(hosts.items())),
        nameservers=tuple(instance.nameservers) or ("10.0.2.3",),
        nics=tuple(guest_nic(nic) for nic in nics),
        watch_ports=tuple(sorted({(f.protocol, f.guest_port) for nic in nics for f in nic.forwards.all()}))[:32],
        reboot_on_exit=instance.reboot_on_exit,
    )


def subnet(position: int) -> str:
    """The user-mode network of the NIC at `position`: several need one each (slirp's own default comes first)."""
    return f"10.0.{2 + position}.0/24"


def user_nic(nic: Nic) -> UserNic:
    """The host's side of a user-mode NIC."""
    forwards = (Forward(f.protocol, f.host_address, f.bound_port, f.guest_port) for f in nic.forwards.all())
    return UserNic(mac=nic.mac, network=subnet(nic.position), forwards=tuple(forwards))


def guest_nic(nic: Nic) -> GuestNic:
    """The guest's side of it, with slirp's fixed addresses: .15 for the guest, .2 for the gateway."""
    network = ip_network(subnet(nic.position))
    return GuestNic(mac=nic.mac, address=f"{network[15]}/{network.prefixlen}", gateway=str(network[2]))
