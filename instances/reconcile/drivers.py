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
        return FakeHypervisor(env.run_dir, env.state_dir, group=env.panel_group)
    return QemuHypervisor(env.run_dir, env.state_dir, group=env.panel_group, tag=env.installation)
