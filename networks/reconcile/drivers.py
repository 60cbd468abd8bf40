"""The live fabric driver of this host; held here and by `instances.watch` alone."""

from functools import cache

from networks.fabric.base import Fabric
from networks.fabric.fake import FakeFabric
from networks.fabric.linux import LinuxFabric
from opsweb.environment import env


@cache
def fabric() -> Fabric:
    """This host's driver."""
    if env.driver == "fake":
        return FakeFabric(env.installation, env.run_dir, group=env.panel_group)
    return LinuxFabric(env.installation, env.run_dir, group=env.panel_group)
