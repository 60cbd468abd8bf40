"""What a caller may wait for: whether an instance as it was last seen is running, ready, ended, or listens on a port. Pure but one look."""

from instances.models import Instance
from instances.shown import watched_ports
from instances.states import Observed
from opsweb.core import operations


def is_so(instance: Instance, what: str) -> bool:
    """`what` is "running", "ended", "ready" or "port:8080" (TCP, of the guest). Prefetch `nics__forwards` for "ready"."""
    if what == "ended":
        return _has_ended(instance)
    if instance.observed != Observed.RUNNING or instance.boots_wanted > instance.boots_seen:
        return False
    if what == "ready":
        return all(f"port:{protocol}:{port}" in instance.milestones for protocol, port in watched_ports(instance))
    return what == "running" or f"port:tcp:{what.removeprefix('port:')}" in instance.milestones


def _has_ended(instance: Instance) -> bool:
    """Not up, nothing is being done with it, and nothing will start it again by itself."""
    if instance.observed not in (Observed.ABSENT, Observed.STOPPED, Observed.CRASHED) or operations.active("instance", instance.pk):
        return False
    return instance.desired in ("stopped", "absent")
