"""Forms of teams' pages."""

from django import forms

from opsweb.teams.models import Membership

DAY = 24
LIFETIMES = {1: "1 hour", DAY: "1 day", 7 * DAY: "7 days", 30 * DAY: "30 days"}  # hours → words


class InviteForm(forms.Form):
    """What the link gives, and for how long it holds."""

    role = forms.ChoiceField(label="As", choices=[(role, role) for role in Membership.RoleName.values])
    hours = forms.TypedChoiceField(label="The link holds", choices=list(LIFETIMES.items()), coerce=int, initial=7 * DAY)
