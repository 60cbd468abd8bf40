"""How an instance is shown: label, tone, addresses, boot times. Read by templates, the API and the badges alike."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Subquery

from instances.models import Instance
from instances.states import BOOT_VERBS, LABELS, VERBS, Desired, Observed, Verb, refusal
from opsweb.core import access
from opsweb.core.access import Actor
from opsweb.core.models import Operation


@dataclass(frozen=True)
class Badge:
    """A state for people: the words and the tone (run, wait, stop, bad)."""

    label: str
    tone: str


def badge(instance: Instance, operation: Operation | None) -> Badge:
    """The state with its transition; `operation` is the active one. Nothing of it is stored, so nothing can hang in it."""
    if operation is not None and operation.verb in VERBS:
        return Badge(VERBS[Verb(operation.verb)].doing, "wait")
    if instance.is_held and not instance.is_up:
        return Badge("Restarting soon", "bad")
    if instance.observed == Observed.UNKNOWN and instance.desired == Desired.RUNNING:
        return Badge("Starting…", "wait")
    label, tone = LABELS[Observed(instance.observed)]
    return Badge(*_with_exit(label, tone, instance))


def _with_exit(label: str, tone: str, instance: Instance) -> tuple[str, str]:
    facts = instance.exit or {}
    if instance.is_up or facts.get("reason") == "request":
        return label, tone
    if facts.get("signal"):
        return f"Ended by signal {facts['signal']}", "bad"
    code = facts.get("code")
    if code is None:
        return label, tone
    return f"Exited {code}", "bad" if code else "stop"


def active_operations(instances: Iterable[Instance]) -> dict[UUID, Operation]:
    """Instance id → what is being done with it. One query."""
    rows = Operation.objects.filter(kind="instance", target_id__in=[row.pk for row in instances], status__in=Operation.ACTIVE)
    return {operation.target_id: operation for operation in rows}


def last_starts(instances: Iterable[Instance], active: Mapping[UUID, Operation]) -> dict[UUID, Operation]:
    """Instance id → the operation that made the boot that is shown; one of the restart policy has none. At most one query."""
    booting = {pk: operation for pk, operation in active.items() if operation.verb in BOOT_VERBS}
    rows = {row.pk: row for row in instances if row.accepted_at and row.pk not in booting}
    boots = Operation.objects.filter(kind="instance", target_id=OuterRef("pk"), verb__in=BOOT_VERBS).order_by("-created_at")
    newest = Instance.objects.filter(pk__in=rows).annotate(start=Subquery(boots.values("pk")[:1])).values("start")
    found = Operation.objects.filter(pk__in=newest) if rows else ()
    return booting | {start.target_id: start for start in found if _made_boot(start, rows[start.target_id])}


def _made_boot(start: Operation, instance: Instance) -> bool:
    asked, done = instance.accepted_at, start.finished_at
    return asked is not None and (done is None or asked <= done)


def env(instance: Instance) -> dict[str, str | None]:
    """Its environment for people: None in place of a secret value (SEC-J1)."""
    return {name: None if name in instance.secret_env else value for name, value in instance.env.items()}


MAX_WATCHED = 32  # ports that the guest's init is told to watch


def watched_ports(instance: Instance) -> list[tuple[str, int]]:
    """The (protocol, guest port) pairs whose listening the guest reports. Prefetch `nics__forwards`."""
    return sorted({(forward.protocol, forward.guest_port) for nic in instance.nics.all() for forward in nic.forwards.all()})[:MAX_WATCHED]


@dataclass(frozen=True)
class VerbButton:
    """A verb as a button: `why_not` is "" when it may be pressed."""

    verb: str
    label: str
    why_not: str
    destroys: str


def verb_buttons(instance: Instance, actor: Actor) -> list[VerbButton]:
    """Every verb; what a person may not do stays visible with the sentence why."""
    return [
        VerbButton(
            verb.value,
            facts.label,
            access.refusal(actor, f"instance.{verb}", instance.team_id) or _no_sense(instance, verb),
            facts.destroys,
        )
        for verb, facts in VERBS.items()
    ]


def _no_sense(instance: Instance, verb: Verb) -> str:
    return refusal(verb, Observed(instance.observed), Desired(instance.desired))


def forwards(instance: Instance) -> list[dict[str, Any]]:
    """Its port forwards with links. Prefetch `nics__forwards`."""
    return [
        {
            "protocol": forward.protocol,
            "host_address": forward.host_address,
            "host_port": forward.host_port,
            "guest_port": forward.guest_port,
            "url": f"http://{forward.host_address}:{forward.host_port}/" if forward.protocol == "tcp" and not forward.is_withdrawn else "",
            "withdrawn": forward.is_withdrawn,
        }
        for nic in instance.nics.all()
        for forward in nic.forwards.all()
    ]


def addresses(instance: Instance) -> list[str]:
    """Where it can be reached: its addresses on networks, then `127.0.0.1:8088` for each forward."""
    on_networks = [address for nic in instance.nics.all() for address in (nic.address4, nic.address6) if address]
    return on_networks + [f"{item['host_address']}:{item['host_port']}" for item in forwards(instance) if not item["withdrawn"]]


def nics(instance: Instance) -> list[dict[str, Any]]:
    """Its NICs in order; `network` is "" in user mode. `counts`: [packets, bytes] of each kind. Prefetch `nics__network`."""
    return [
        {
            "name": nic.name,
            "network": nic.network.name if nic.network else "",
            "mac": nic.mac,
            "address4": nic.address4 or "",
            "address6": nic.address6 or "",
            "fixed": nic.is_fixed,
            "rate_kbit": nic.rate_kbit,
            "counts": nic.counts,
        }
        for nic in instance.nics.all()
    ]


def boot_times(instance: Instance, operation: Operation | None) -> list[dict[str, Any]]:
    """The waterfall of the last start: [{"name", "start_ms", "ms"}], in order, from the moment it was asked for.

    `operation` is the last start; its steps are the host's part, the milestones the guest's.
    """
    if instance.accepted_at is None:
        return []
    zero = instance.accepted_at.timestamp()
    bars = [_bar(step["name"], step["started"] - zero, step["ms"] / 1000) for step in (operation.steps if operation else [])]
    reached = dict(instance.milestones)
    if instance.first_byte_at:
        reached["first byte"] = instance.first_byte_at.timestamp()
    before = max((bar["start_ms"] + bar["ms"] for bar in bars), default=0.0) / 1000
    for name, at in sorted(reached.items(), key=lambda item: item[1]):
        if name == "qemu" or at < zero:
            continue
        bars.append(_bar(_milestone_label(name), before, max(at - zero - before, 0)))
        before = max(before, at - zero)
    return bars


def _bar(name: str, start: float, length: float) -> dict[str, Any]:
    return {"name": name, "start_ms": round(max(start, 0) * 1000, 1), "ms": round(length * 1000, 1)}


def _milestone_label(name: str) -> str:
    kind, _, rest = name.partition(":")
    return "port " + rest.rpartition(":")[2] if kind == "port" else name
