"""The forms for creating and editing an instance: what people type, turned into an InstanceSpec. Called by views."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import QueryDict

from instances import shown
from instances.models import NAME, Instance
from instances.services.create import InstanceSpec
from networks.models import Nic, PortForward
from networks.nic_rows import AS_IMAGE, NicRow, specs
from networks.nic_rows import rows_of_post as nics_of_post
from networks.ports import PortError, parse_ports
from networks.services.nics import NicSpec
from opsweb.core.errors import Refusal

# Chips: label, vCPUs, MiB.
SIZES = (("Tiny", 1, 128), ("Small", 1, 256), ("Medium", 2, 512), ("Large", 2, 1024), ("X-large", 4, 2048))
CUSTOM = "custom"
HIDDEN = "••••••••"  # stands for a secret's value; sent back unchanged, the value stays
# The editors with rows of their own → the fields that a service's refusal of one of them names.
ROWS = {"ports": {"ports"}, "nics": {"nics", "address", "address4", "address6", "rate_kbit"}}
POLICIES = {"never": "Never", "on-failure": "On failure, with back-off", "always": "Always"}


@dataclass(frozen=True)
class PortRow:
    """One row of the port editor."""

    host: str = ""
    guest: str = ""
    protocol: str = "tcp"

    @property
    def text(self) -> str:
        """In the grammar of networks.ports."""
        return f"{self.host}:{self.guest}" if self.guest and self.guest != self.host else self.host


@dataclass(frozen=True)
class Chip:
    """A size to choose."""

    label: str
    vcpus: int
    memory_mib: int
    is_on: bool

    @property
    def value(self) -> str:
        """As the form sends it."""
        return f"{self.vcpus}x{self.memory_mib}"


def rows_of_post(data: QueryDict) -> list[PortRow]:
    """The filled rows of the port editor."""
    columns = (data.getlist(f"port_{name}") for name in ("host", "guest", "protocol"))
    rows = [PortRow(*(value.strip() for value in row)) for row in zip(*columns, strict=False)]
    return [row if row.host else PortRow(row.guest, "", row.protocol) for row in rows if row.host or row.guest]


def rows_of_instance(instance: Instance) -> list[PortRow]:
    """Its forwards as rows; loopback is the default and is left out."""
    forwards = PortForward.objects.filter(nic__instance=instance)
    return [
        PortRow(
            str(forward.host_port) if forward.host_address == "127.0.0.1" else f"{forward.host_address}:{forward.host_port}",
            str(forward.guest_port),
            forward.protocol,
        )
        for forward in forwards
    ]


class InstanceForm(forms.Form):
    """Every field that both pages share. Blank means: as the image, or the panel, has it."""

    name = forms.CharField(max_length=40, validators=[NAME])
    size = forms.ChoiceField(
        choices=[*((f"{vcpus}x{memory}", label) for label, vcpus, memory in SIZES), (CUSTOM, "Custom")], initial="1x256", required=False
    )
    vcpus = forms.IntegerField(label="vCPUs", min_value=1, max_value=64, required=False, initial=1)
    memory_mib = forms.IntegerField(label="Memory (MiB)", min_value=128, max_value=1_048_576, required=False, initial=256)
    args = forms.CharField(required=False, help_text="As in a shell: quotes keep spaces together.")
    env = forms.CharField(required=False, widget=forms.Textarea, help_text="One a line: NAME=value")
    secret_env = forms.CharField(label="Secret names", required=False, help_text="Names whose values nobody is shown, separated by spaces.")
    hosts = forms.CharField(required=False, widget=forms.Textarea, help_text="One a line: 10.0.2.2 bob")
    nameservers = forms.CharField(required=False, help_text="IPv4 addresses, separated by spaces.")
    restart_policy = forms.ChoiceField(choices=list(POLICIES.items()), required=False, initial="never")
    autostart = forms.BooleanField(required=False, initial=True)
    reboot_on_exit = forms.BooleanField(required=False)

    def __init__(self, *args: Any, port_rows: Sequence[PortRow] = (), nic_rows: Sequence[NicRow] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.port_rows, self.nic_rows = list(port_rows), list(nic_rows)
        if isinstance(self.data, QueryDict) and self.is_bound:
            self.port_rows, self.nic_rows = rows_of_post(self.data), nics_of_post(self.data)

    @property
    def chips(self) -> list["Chip"]:
        """The sizes to choose from."""
        chosen = self["size"].value()
        return [Chip(label, vcpus, memory, chosen == f"{vcpus}x{memory}") for label, vcpus, memory in SIZES]

    def clean_args(self) -> list[str]:
        """Split as a shell would."""
        try:
            return shlex.split(self.cleaned_data["args"])
        except ValueError as error:
            raise forms.ValidationError("A quote is opened and not closed. Close it, or put a backslash before it.") from error

    def clean_env(self) -> dict[str, str | None]:
        """NAME=value lines; None for a hidden secret, which keeps its value."""
        pairs = dict(_pairs(self.cleaned_data["env"], "=", "NAME=value"))
        return {name: None if value == HIDDEN else value for name, value in pairs.items()}

    def clean_hosts(self) -> dict[str, str]:
        """ "10.0.2.2 bob alice" lines, as in /etc/hosts."""
        pairs = _pairs(self.cleaned_data["hosts"], None, "10.0.2.2 bob")
        return {name: address for address, names in pairs for name in names.split()}

    def clean_secret_env(self) -> list[str]:
        """Names."""
        return _words(self.cleaned_data["secret_env"])

    def clean_nameservers(self) -> list[str]:
        """Addresses."""
        return _words(self.cleaned_data["nameservers"])

    def clean(self) -> dict[str, Any]:
        """The size's chip stands for two numbers; the ports' rows for two lists."""
        values = super().clean() or self.cleaned_data
        size = values.get("size") or CUSTOM
        if size != CUSTOM:
            values["vcpus"], values["memory_mib"] = (int(part) for part in size.split("x"))
        self._check_ports()
        return values

    def _check_ports(self) -> None:
        try:
            parse_ports(self.texts("tcp"), self.texts("udp"))
        except PortError as error:
            self.add_error(None, forms.ValidationError(error.message, code="ports"))

    def texts(self, protocol: str) -> list[str]:
        """The rows of one protocol, in the grammar of networks.ports."""
        return [row.text for row in self.port_rows if row.protocol == protocol]

    def nics(self, team_id: int, kept: Iterable[Nic] = ()) -> list[NicSpec] | None:
        """The NICs' rows as a service takes them; None when the form had none, or leaves them to the image. Raises: Invalid.

        `kept`: those of before.
        """
        if "nics" not in self.data or [row.network for row in self.nic_rows] == [AS_IMAGE]:
            return None
        return specs(self.nic_rows, team_id, {nic.name: nic for nic in kept})

    def spec(self, *, blank_is_default: bool, nics: Sequence[NicSpec] | None = None) -> InstanceSpec:
        """What was typed. `blank_is_default`: an empty text leaves it to the image; else it means "none"."""
        values = self.cleaned_data
        texts = {name: values[name] for name in ("args", "env", "secret_env", "hosts", "nameservers")}
        ports = {"ports": self.texts("tcp"), "udp_ports": self.texts("udp")}
        given = {**texts, **ports}
        if blank_is_default:
            given = {name: value for name, value in given.items() if value}
        return InstanceSpec(
            vcpus=values["vcpus"],
            memory_mib=values["memory_mib"],
            restart_policy=values["restart_policy"] or None,
            autostart=values["autostart"],
            reboot_on_exit=values["reboot_on_exit"],
            nics=nics,
            **given,
        )

    def add_refusal(self, error: Refusal) -> None:
        """Show what a service refused beside its field or its rows, or above the form."""
        field = next((name for name in error.fields if name in self.fields), None)
        rows = next((rows for rows, names in ROWS.items() if names & error.fields.keys()), error.code)
        self.add_error(field, forms.ValidationError(error.message, code=rows))

    @property
    def port_errors(self) -> list[str]:
        """Sentences about the ports' rows, shown beside them."""
        return self._errors_of("ports")

    @property
    def nic_errors(self) -> list[str]:
        """Sentences about the NICs' rows."""
        return self._errors_of("nics")

    @property
    def other_errors(self) -> list[str]:
        """Sentences about no single field."""
        return [message for error in self.non_field_errors().as_data() if error.code not in ROWS for message in error.messages]

    def _errors_of(self, rows: str) -> list[str]:
        return [message for error in self.non_field_errors().as_data() if error.code == rows for message in error.messages]


class CreateForm(InstanceForm):
    """A new instance: of an image that is there, or of uploads."""

    image = forms.UUIDField(required=False)
    program = forms.UUIDField(required=False, widget=forms.HiddenInput)
    program_name = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput)
    archive = forms.UUIDField(required=False, widget=forms.HiddenInput)
    archive_name = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput)
    config = forms.CharField(required=False, max_length=262_144, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        """There must be something to run."""
        values = super().clean()
        if not any(values.get(name) for name in ("image", "program", "archive")):
            self.add_error("image", "Choose what to run: drop a program, or pick an image.")
        return values


def initial_of(instance: Instance) -> dict[str, Any]:
    """The edit form's values; a secret's value is not among them."""
    size = f"{instance.vcpus}x{instance.memory_mib}"
    known = {f"{vcpus}x{memory}" for _, vcpus, memory in SIZES}
    return {
        "name": instance.name,
        "size": size if size in known else CUSTOM,
        "vcpus": instance.vcpus,
        "memory_mib": instance.memory_mib,
        "args": shlex.join(instance.args),
        "env": "\n".join(f"{name}={HIDDEN if value is None else value}" for name, value in shown.env(instance).items()),
        "secret_env": " ".join(instance.secret_env),
        "hosts": "\n".join(f"{address} {name}" for name, address in instance.hosts.items()),
        "nameservers": " ".join(instance.nameservers),
        "restart_policy": instance.restart_policy,
        "autostart": instance.autostart,
        "reboot_on_exit": instance.reboot_on_exit,
    }


def _pairs(text: str, separator: str | None, shape: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        parts = line.strip().split(separator, 1)
        if len(parts) != 2 or not parts[0].strip():
            raise forms.ValidationError(f"Line {number} is not of the form {shape}.")
        yield parts[0].strip(), parts[1]


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()
