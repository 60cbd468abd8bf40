"""Writes down what was seen of networks, and tells the browsers when something changed. Called under the network's lock."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from networks.fabric.base import Drift, Lease, NicCounts
from networks.fabric.names import tap_name
from networks.models import Network, Nic, Rule
from networks.reconcile.drivers import fabric
from networks.services.announce import tell
from networks.states import Observed
from opsweb.core.models import Host
from opsweb.environment import env

SEEN_EVERY = timedelta(minutes=1)  # an unchanged look is written down this often
KEPT_DRIFT = 20  # entries


def is_due(network: Network) -> bool:
    """Whether the last look that was written down is a while ago, or was no good."""
    seen_at = network.observed_at
    return network.observed != Observed.UP or seen_at is None or timezone.now() - seen_at >= SEEN_EVERY


def write_up(network: Network, *, warnings: list[dict[str, str]] | None, drift: Sequence[Drift]) -> None:
    """It is as it should be; what had drifted is mended. None leaves the warnings."""
    seen: dict[str, Any] = {"observed": Observed.UP.value, "message": ""}
    if warnings is not None:
        seen["warnings"] = warnings
    seen["drift"] = [entry | {"mended": True} for entry in _with(network.drift, drift, is_mended=True)]
    _write(network, seen)


def write_failed(network: Network, message: str) -> None:
    """The last pass failed, and why."""
    _write(network, {"observed": Observed.FAILED.value, "message": message})


def write_drift(network: Network, drift: Sequence[Drift], *, is_mended: bool) -> None:
    """What was found changed by somebody else."""
    _write(network, {"drift": _with(network.drift, drift, is_mended=is_mended)})


def _with(entries: list[dict[str, Any]], found: Sequence[Drift], *, is_mended: bool) -> list[dict[str, Any]]:
    """Newest first. What waits to be mended is one entry, however often it is seen."""
    waiting = {(entry["what"], entry["reason"]) for entry in entries if not entry["mended"]}
    now = timezone.now().isoformat()
    new = [
        {"what": item.what, "reason": item.reason, "at": now, "mended": is_mended}
        for item in found
        if (item.what, item.reason) not in waiting
    ]
    return [*new, *entries][:KEPT_DRIFT]


def _write(network: Network, seen: dict[str, Any]) -> None:
    changed = {name: value for name, value in seen.items() if value != getattr(network, name)}
    if not changed and not is_due(network):
        return
    network.observed_at = timezone.now()
    for name, value in changed.items():
        setattr(network, name, value)
    Network.objects.filter(pk=network.pk).update(**changed, observed_at=network.observed_at)
    if changed:
        tell(network)


def write_leases(network: Network, leases: Sequence[Lease]) -> None:
    """What dnsmasq has given out."""
    rows = [
        {"mac": lease.mac, "address": lease.address, "name": lease.name, "expires_at": _iso(lease.expires_at)}
        for lease in sorted(leases, key=lambda lease: lease.address)
    ]
    if rows != network.leases:
        _write(network, {"leases": rows})


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(int(seconds), UTC).isoformat()


def write_counts(host: Host) -> None:
    """All counters of the filter, in one reading: of NICs and of rules. With the time, which makes them rates (networks.traffic)."""
    counts, now, last = fabric().counts(), timezone.now(), host.counted_at
    changed, networks = [], {}
    for nic in Nic.objects.filter(network__host=host).select_related("network__host"):
        found = counts.nics.get(tap_name(env.installation, nic.tag))
        if found is None or nic.network is None:
            continue
        if moves := _count(nic, found, now, last):
            changed.append(nic)
        if moves or nic.counted_at == last:  # the others had come to rest before
            networks[nic.network.pk] = nic.network
    Nic.objects.bulk_update(changed, ["counts", "counted_at", "counted_before"], batch_size=200)
    _write_rule_counts({pk: list(count) for pk, count in counts.rules.items()})
    host.counted_at = now
    Host.objects.filter(pk=host.pk).update(counted_at=now)
    for network in networks.values():
        tell(network)


def _count(nic: Nic, found: NicCounts, now: datetime, last: datetime | None) -> bool:
    """Put a reading into the row; False when nothing moved. What it had until now is what it had at the last reading, too."""
    read = {"in": list(found.passed_in), "out": list(found.passed_out), "dropped": list(found.dropped)}
    if read == nic.counts:
        return False
    nic.counted_before = {"at": last.isoformat(), **nic.counts} if last and nic.counts else {}
    nic.counts, nic.counted_at = read, now
    return True


def _write_rule_counts(counts: dict[Any, list[int]]) -> None:
    rules = [rule for rule in Rule.objects.filter(pk__in=counts) if rule.counts != counts[rule.pk]]
    for rule in rules:
        rule.counts = counts[rule.pk]
    Rule.objects.bulk_update(rules, ["counts"], batch_size=200)
