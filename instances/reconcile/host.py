"""Finds out what this host has: vCPUs, memory, an accelerator that really boots, the end of a host reboot. Run when a worker comes up."""

import os
from pathlib import Path

from django.utils import timezone

from instances.hypervisor.accel import probe
from instances.models import Instance
from instances.reconcile.sweep import sweep
from instances.states import Desired
from networks.reconcile.sweep import forget_networks
from opsweb.core.models import Host
from opsweb.environment import env

HOST_RESERVE_MIB = 512  # kept for the host and the panel


def inspect_host() -> None:
    """Write it to the host's row, then look at everything."""
    host, _ = Host.objects.get_or_create(name=env.host)
    host.arch = os.uname().machine
    host.vcpus = os.cpu_count() or 1
    host.memory_mib = max(memory_mib() - HOST_RESERVE_MIB, 0)
    host.accelerator, host.accelerator_note = accelerator()
    host.worker_seen_at = timezone.now()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    if host.boot_id and host.boot_id != boot:
        after_host_reboot(host)
    host.boot_id, host.is_draining = boot, False
    host.save()
    sweep()


def accelerator() -> tuple[str, str]:
    """("kvm" or "tcg", the sentence why)."""
    if env.driver == "fake":
        return "tcg", "The fake host runs nothing."
    if env.accel != "auto":
        return env.accel, "Set by OPSWEB_ACCEL."
    verdict = probe(env.run_dir, uid=env.uid_base)
    return verdict.accelerator, verdict.sentence


def after_host_reboot(host: Host) -> None:
    """What ran comes back, unless it is not to start by itself (INV-19). Networks are made first: no start takes them for up meanwhile."""
    forget_networks(host)
    Instance.objects.filter(host=host, autostart=False, desired__in=(Desired.RUNNING, Desired.PAUSED)).update(desired=Desired.STOPPED)


def memory_mib() -> int:
    """MemTotal of /proc/meminfo (proc(5)), in MiB."""
    line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    return int(line.split()[1]) // 1024
