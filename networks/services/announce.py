"""After the commit of a change: the worker looks at what changed, the browsers look again."""

from networks.models import Network
from opsweb.core import events
from opsweb.core.models import Host
from opsweb.core.queue import enqueue


def announce(network: Network) -> None:
    """The worker converges it."""
    enqueue("networks.converge", network.host.queue, str(network.pk))
    tell(network)


def announce_rules(host: Host) -> None:
    """The worker brings the host's filter up to date: a change of rules alone, felt in under a second (SEC-F3)."""
    enqueue("networks.keep_filter", host.queue, str(host.pk))


def tell(network: Network) -> None:
    """Every team that sees it looks again."""
    for team_id in sorted({network.team_id, *network.shared_with.values_list("pk", flat=True)}):
        events.changed("network", network.pk, team_id)
