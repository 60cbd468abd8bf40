"""The tab Network of an instance: its NICs with what passed them, its forwards, its rules."""

from typing import Any

from django.urls import reverse

from instances import hotplug
from instances.models import Instance
from instances.views.present import Shown
from networks.models import Rule
from networks.views import editor
from networks.views.addresses import Holder, holders
from opsweb.core import access


def tab(shown: Shown) -> dict[str, Any]:
    """What its template wants."""
    instance = shown.instance
    marks = instance.nic_marks
    return {
        "nics": [(nic, _holder(shown, nic), marks.get(nic.tag)) for nic in instance.nics.all()],
        "waits": " ".join(sorted({mark.reason for mark in marks.values() if mark.label != hotplug.LIVE})),
        "why_not": access.refusal(shown.actor, "instance.rules", instance.team_id),
        "save_url": reverse("instances:rules", args=[instance.pk]),
        "plan_url": reverse("instances:rules-plan", args=[instance.pk]),
        **editor.editor(rules_of(instance), instance.team_id),
    }


def _holder(shown: Shown, nic: Any) -> Holder | None:
    """Its address, lease and counters; None in user mode."""
    if nic.network is None:
        return None
    nic.network.host = shown.instance.host  # the same row, which is here already
    return holders(nic.network, [nic], shown.actor)[0]


def rules_of(instance: Instance) -> list[Rule]:
    """In order, with what a sentence names."""
    return list(Rule.objects.filter(instance=instance).select_related("peer_group", "peer_network"))
