"""The form of a network: what people type, turned into a NetworkSpec. Called by views."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from django import forms

from networks.models import ADAPTER, NAME, Network
from networks.services.networks import NetworkSpec
from networks.states import MODES
from opsweb.core.errors import Refusal
from opsweb.teams.models import Team

AUTO, NONE, PREFIX = "auto", "none", "prefix"
IPV6 = {AUTO: ("Private", "a prefix is made up"), PREFIX: ("A prefix of yours", "routed here, or not"), NONE: ("None", "IPv4 alone")}
MINUTE = 60
ALIASES = {"subnet": "cidr4", "ipv6": "cidr6", "address4": "cidr4", "lease_seconds": "lease_minutes"}  # a service's field → the form's


class NetworkForm(forms.Form):
    """Every field that both pages share."""

    name = forms.CharField(max_length=40, validators=[NAME], help_text="Yours: other teams may have one of the same name.")
    mode = forms.ChoiceField(choices=[(mode, mode) for mode in MODES], initial="nat")
    adapter = forms.CharField(
        label="Adapter of the host",
        max_length=15,
        required=False,
        validators=[ADAPTER],
        help_text="It becomes a port of the bridge; its addresses move along.",
    )
    cidr4 = forms.CharField(label="Subnet", max_length=18, help_text="The gateway’s address with the prefix length: 192.168.33.1/24")
    ipv6 = forms.ChoiceField(label="IPv6", choices=[(kind, label) for kind, (label, _) in IPV6.items()], initial=AUTO, required=False)
    cidr6 = forms.CharField(label="Prefix", max_length=43, required=False, help_text="A /64, such as fd12:3456:789a::/64")
    is_routed6 = forms.BooleanField(label="The prefix is routed to this host", required=False)
    dhcp = forms.BooleanField(label="DHCP", required=False, initial=True)
    dhcp_first = forms.GenericIPAddressField(label="Give out from", protocol="IPv4", required=False)
    dhcp_last = forms.GenericIPAddressField(label="to", protocol="IPv4", required=False)
    lease_minutes = forms.IntegerField(label="Lease (minutes)", min_value=2, max_value=43_200, required=False, initial=60)
    mtu = forms.IntegerField(label="MTU", min_value=1280, max_value=9000, required=False, initial=1500)
    domain = forms.CharField(label="DNS domain", max_length=120, required=False)
    resolvers = forms.CharField(label="Name servers", required=False, help_text="Where other names are asked; empty: the host’s own.")
    records = forms.CharField(label="Records", required=False, widget=forms.Textarea, help_text="One a line: db 192.168.33.200")
    shared_with = forms.MultipleChoiceField(label="Shared with", required=False)

    def __init__(self, *args: Any, teams: Sequence[Team] = (), superuser: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.superuser, self.teams = superuser, teams
        self.fields["shared_with"].choices = [(team.name, team.name) for team in teams]  # type: ignore[attr-defined]

    @property
    def modes(self) -> list[dict[str, str]]:
        """The cards to choose from; an uplink takes an admin."""
        why_not = "" if self.superuser else "An uplink touches the host’s own network: only an admin makes one."
        return [
            {"value": mode, "label": Network.Mode(mode).label, "text": text, "why_not": why_not if mode == "uplink" else ""}
            for mode, text in MODES.items()
        ]

    @property
    def kinds6(self) -> list[tuple[str, str, str]]:
        """The chips of IPv6: value, label, text."""
        return [(kind, label, text) for kind, (label, text) in IPV6.items()]

    @property
    def opens_rest(self) -> bool:
        """Whether something of the folded part was said, or refused."""
        names = ("dhcp_first", "dhcp_last", "domain", "resolvers", "records", "shared_with", "mtu", "lease_minutes")
        said = any(self[name].value() for name in names[:6]) or self["mtu"].value() not in (1500, "1500", None)
        return said or any(name in self.errors for name in names)

    def clean_resolvers(self) -> list[str]:
        """Addresses."""
        return self.cleaned_data["resolvers"].replace(",", " ").split()  # type: ignore[no-any-return]

    def clean_records(self) -> dict[str, str]:
        """ "db 192.168.33.200" lines; the name comes first or last."""
        return dict(_records(self.cleaned_data["records"]))

    def clean(self) -> dict[str, Any]:
        """What hides behind a choice that was not made is not meant."""
        values = super().clean() or self.cleaned_data
        if values.get("mode") == "uplink" and not values.get("adapter") and "adapter" not in self.errors:
            self.add_error("adapter", "Name the adapter that joins the bridge.")
        if values.get("ipv6") == PREFIX and not values.get("cidr6"):
            self.add_error("cidr6", "Write the prefix, or choose another kind of IPv6.")
        return values

    def spec(self) -> NetworkSpec:
        """What was typed."""
        values = self.cleaned_data
        is_uplink = values["mode"] == "uplink"
        return NetworkSpec(
            name=values["name"],
            mode=values["mode"],
            adapter=values["adapter"] if is_uplink else "",
            cidr4=values["cidr4"],
            cidr6={PREFIX: values["cidr6"], AUTO: AUTO}.get(values["ipv6"], ""),
            is_nat6=not values["is_routed6"],
            dhcp=values["dhcp"],
            dhcp_first=values["dhcp_first"] or "",
            dhcp_last=values["dhcp_last"] or "",
            lease_seconds=(values["lease_minutes"] or 60) * MINUTE,
            mtu=values["mtu"] or 1500,
            domain=values["domain"],
            resolvers=values["resolvers"],
            records=values["records"],
            shared_with=[team for team in self.teams if team.name in values["shared_with"]] if self.superuser else None,
        )

    def add_refusal(self, error: Refusal) -> None:
        """Show what a service refused beside its field, or above the form."""
        names = (ALIASES.get(name, name) for name in error.fields)
        field = next((name for name in names if name in self.fields), None)
        self.add_error(field, forms.ValidationError(error.message, code=error.code))


class GroupForm(forms.Form):
    """A group: its name and who is in it. `members`: the instances of the team."""

    name = forms.CharField(max_length=40, validators=[NAME], help_text="Rules speak of it as group:NAME.")
    instances = forms.MultipleChoiceField(required=False)

    def __init__(self, *args: Any, members: Iterable[Any] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["instances"].choices = [(str(member.pk), member.name) for member in members]  # type: ignore[attr-defined]

    @property
    def boxes(self) -> list[tuple[str, str, bool]]:
        """Id, name, and whether it is in."""
        chosen = self["instances"].value() or ()
        return [(pk, name, pk in chosen) for pk, name in self.fields["instances"].choices]  # type: ignore[attr-defined]

    def clean_instances(self) -> list[UUID]:
        """Ids."""
        return [UUID(pk) for pk in self.cleaned_data["instances"]]

    def add_refusal(self, error: Refusal) -> None:
        """Show what a service refused beside the name, or above the form."""
        self.add_error("name" if "name" in error.fields else None, error.message)


def initial_of(network: Network) -> dict[str, Any]:
    """The edit form's values."""
    prefix_length = network.cidr4.partition("/")[2]
    return {
        "name": network.name,
        "mode": network.mode,
        "adapter": network.adapter,
        "cidr4": f"{network.gateway4}/{prefix_length}",
        "ipv6": PREFIX if network.cidr6 else NONE,
        "cidr6": network.cidr6,
        "is_routed6": not network.is_nat6,
        "dhcp": network.dhcp,
        "dhcp_first": network.dhcp_first,
        "dhcp_last": network.dhcp_last,
        "lease_minutes": network.lease_seconds // MINUTE,
        "mtu": network.mtu,
        "domain": network.domain,
        "resolvers": " ".join(network.resolvers),
        "records": "\n".join(f"{name} {address}" for name, address in network.records.items()),
        "shared_with": [team.name for team in network.shared_with.all()],
    }


def _records(text: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2:
            raise forms.ValidationError(f"Line {number} is no record. Write a name and an address: db 192.168.33.200")
        yield (words[0], words[1])
