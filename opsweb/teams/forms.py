"""Forms of teams' pages."""

from types import MappingProxyType

from django import forms

from opsweb.teams.models import Membership, Team

DAY = 24
LIFETIMES = {1: "1 hour", DAY: "1 day", 7 * DAY: "7 days", 30 * DAY: "30 days"}  # hours → words


class InviteForm(forms.Form):
    """What the link gives, and for how long it holds."""

    role = forms.ChoiceField(label="As", choices=[(role, role) for role in Membership.RoleName.values])
    hours = forms.TypedChoiceField(label="The link holds", choices=list(LIFETIMES.items()), coerce=int, initial=7 * DAY)


class QuotaForm(forms.ModelForm):  # type: ignore[type-arg]
    """How much a team may own."""

    class Meta:
        model = Team
        fields = tuple(f"quota_{kind}" for kind in ("instances", "vcpus", "memory_mib", "networks", "addresses", "forwards", "rules"))
        labels = MappingProxyType(
            {
                "quota_instances": "Instances",
                "quota_vcpus": "vCPUs",
                "quota_memory_mib": "Memory (MiB)",
                "quota_networks": "Networks",
                "quota_addresses": "Addresses",
                "quota_forwards": "Forwards",
                "quota_rules": "Rules",
            }
        )

    @property
    def quota_fields(self) -> list[forms.BoundField]:
        """Those in the order of the page."""
        return [self[name] for name in QuotaForm.Meta.fields]


class TeamForm(QuotaForm):
    """A new team."""

    class Meta(QuotaForm.Meta):
        fields = ("name", *QuotaForm.Meta.fields)
