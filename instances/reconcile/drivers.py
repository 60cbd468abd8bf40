"""Which drivers this host uses, by OPSWEB_DRIVER; made once for each process."""

from functools import cache

from instances.hypervisor.base import Hypervisor
from instances.hypervisor.fake import FakeHypervisor
from instances.hypervisor.qemu import QemuHypervisor
from opsweb.environment import env


@cache
def hypervisor() -> Hypervisor:
    """This host's driver."""
    if env.driver == "fake":
        return FakeHypervisor(env.run_dir, env.state_dir, group=panel_group())
    return QemuHypervisor(env.run_dir, env.state_dir, group=panel_group(), tag=env.installation)


def panel_group() -> int:
    """The gid of web and watcher, who read consoles: that of the VMs' directory, which `make up` gave to them."""
    return (env.state_dir / "vm").stat().st_gid
