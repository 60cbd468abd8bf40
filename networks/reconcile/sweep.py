"""The networks' part of the pass every few seconds, and what a worker finds out about the host's own network."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from uuid import UUID

from networks.fabric.base import FabricError
from networks.models import Network
from networks.reconcile.converge import converge
from networks.reconcile.drivers import fabric
from networks.reconcile.filter import keep_filter
from networks.reconcile.guard import host_resolvers
from networks.reconcile.record import write_counts
from networks.states import Observed
from opsweb.core import operations
from opsweb.core.models import Host, Operation

log = logging.getLogger(__name__)

REAP_AFTER = 60  # seconds that a network without a row is seen before it goes: its create may not be committed yet
_unknown: dict[UUID, float] = {}  # network without a row → when this process saw it first (monotonic)


def sweep_networks(host: Host) -> None:
    """One pass over the host's networks. Before the instances' part: they need their networks."""
    _try("host's network", partial(write_facts, host))
    _try("filter", partial(keep_filter, host))
    for network in Network.objects.filter(host=host).values_list("pk", flat=True):
        _try(f"network {network}", partial(converge, network, with_filter=False))
    _try("leftovers", reap)
    _try("counters", partial(write_counts, host))
    end_orphans()


def _try(what: str, act: Callable[[], object]) -> None:
    """One that fails does not keep the others from their turn; the next pass tries it again."""
    try:
        act()
    except (FabricError, OSError) as error:
        log.warning("sweep: %s: %s", what, error)
    except Exception:
        log.exception("sweep: %s", what)


def write_facts(host: Host) -> None:
    """Routes, adapters, name servers and cloud of the host: the services refuse what meets them, and may sit elsewhere."""
    found = fabric().host_network()
    facts = {
        "routes": [list(route) for route in found.routes],
        "adapters": [asdict(adapter) | {"addresses": list(adapter.addresses)} for adapter in found.adapters],
        "resolvers": list(host_resolvers(Path("/etc/resolv.conf").read_text())),
        "platform": found.platform,
    }
    if facts != host.network_facts:
        host.network_facts = facts
        Host.objects.filter(pk=host.pk).update(network_facts=facts)


def reap() -> list[UUID]:
    """Take away networks that no row knows, once they have been so for long enough that no create can be on its way."""
    driver, now = fabric(), time.monotonic()
    known = set(Network.objects.values_list("pk", flat=True))
    here = {network: bridge for network, bridge in driver.networks() if network not in known}
    for network in _unknown.keys() - here.keys():
        del _unknown[network]
    gone = [network for network in here if now - _unknown.setdefault(network, now) > REAP_AFTER]
    for network in gone:
        with driver.lock(here[network]):
            log.warning("sweep: nobody knows network %s, removing %s", network, here[network])
            driver.remove_network(network, here[network])
    return gone


def forget_networks(host: Host) -> None:
    """After a boot everything is made anew, and that is no drift; until then no start takes a network for up."""
    Network.objects.filter(host=host).update(applied="", observed=Observed.UNKNOWN)
    host.filter_applied = ""
    host.save(update_fields=["filter_applied"])


def end_orphans() -> None:
    """Operations whose network is gone have nothing left to do."""
    active = Operation.objects.filter(kind="network", status__in=Operation.ACTIVE)
    known = set(Network.objects.filter(pk__in=[row.target_id for row in active]).values_list("pk", flat=True))
    for row in active:
        if row.target_id not in known:
            status = Operation.Status.SUCCEEDED if row.verb == "delete" else Operation.Status.FAILED
            operations.finish(row, status, "", "" if row.verb == "delete" else "Its network is gone.")
