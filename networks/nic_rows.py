"""The rows of the editor of an instance's NICs: what people choose, and from what. Called by forms and views of instances."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from django.http import QueryDict

from networks.addressing import MAX_NICS, AddressingError, next_free
from networks.models import Network, Nic
from networks.services.nics import NicSpec
from networks.sharing import usable_by
from opsweb.core.errors import Invalid

COLUMNS = ("name", "network", "how", "address4", "address6", "rate")
KBIT = 1000  # of a Mbit
FIXED = "fixed"
AS_IMAGE = "image"  # in place of a network: what the image's config says of bridged networking


@dataclass(frozen=True)
class NicRow:
    """One NIC. `network`: the id of one, "" for user mode, or AS_IMAGE; addresses count when it is fixed."""

    name: str = ""
    network: str = ""
    how: str = ""  # "fixed", or "" for DHCP
    address4: str = ""
    address6: str = ""
    rate: str = ""  # Mbit/s; "" for no limit

    @property
    def is_as_image(self) -> bool:
        """Whether the image's config decides."""
        return self.network == AS_IMAGE

    @property
    def says_more(self) -> bool:
        """Whether something stands in the folded part."""
        return bool(self.address6 or self.rate)

    @property
    def is_fixed(self) -> bool:
        """Whether the guest is told its address."""
        return self.how == FIXED


@dataclass(frozen=True)
class Choice:
    """A network that a NIC may be on."""

    network: Network
    next4: str  # the address that comes next; "" when none is left

    @property
    def label(self) -> str:
        """For the list."""
        return f"{self.network.name} · {self.network.cidr4}"


def choices(team_id: int) -> list[Choice]:
    """What the team may attach to, with each one's next free address. Two queries."""
    networks = list(usable_by(team_id).order_by("name"))
    taken: dict[object, set[str]] = defaultdict(set)
    for network_id, address in Nic.objects.filter(network__in=networks).values_list("network_id", "address4"):
        taken[network_id].add(str(address))
    return [Choice(network, _next(network, taken[network.pk])) for network in networks]


def _next(network: Network, taken: set[str]) -> str:
    if network.pool is None:
        return ""
    try:
        return str(next_free(network.subnet4, network.pool, taken | network.recorded(4)))
    except (AddressingError, ValueError):
        return ""


def rows_of_post(data: QueryDict) -> list[NicRow]:
    """The rows as they were sent."""
    columns = (data.getlist(f"nic_{name}")[: MAX_NICS + 1] for name in COLUMNS)
    return [NicRow(*(value.strip() for value in row)) for row in zip_longest(*columns, fillvalue="")]


def rows_of_nics(nics: Iterable[Nic]) -> list[NicRow]:
    """What is saved, as rows to edit."""
    return [_row(nic) for nic in nics]


def _row(nic: Nic) -> NicRow:
    addresses = (FIXED, nic.address4 or "", nic.address6 or "") if nic.is_fixed else ("", "", "")
    return NicRow(nic.name, str(nic.network_id or ""), *addresses, f"{nic.rate_kbit / KBIT:.12g}" if nic.rate_kbit else "")


def specs(rows: Sequence[NicRow], team_id: int, kept: Mapping[str, Nic] | None = None) -> list[NicSpec]:
    """As the service takes it. `kept`: the NICs by name, whose other settings stay.

    Raises: Invalid for a network that is not there, a rate that is no number, the image's word beside another one.
    """
    if any(row.is_as_image for row in rows):
        message = "“As the image’s config says” stands for all NICs. Take it alone, or say of each NIC where it goes."
        raise Invalid(message, fields={"nics": [AS_IMAGE]})
    networks = {str(network.pk): network for network in usable_by(team_id)}
    return [_spec(row, networks, (kept or {}).get(row.name)) for row in rows]


def _spec(row: NicRow, networks: Mapping[str, Network], before: Nic | None) -> NicSpec:
    if row.network and row.network not in networks:
        raise Invalid("One of the networks is not there any more. Choose another one.", fields={"nics": ["gone"]})
    network = networks.get(row.network)
    if network is not None and row.is_fixed and not row.address4:
        raise Invalid(f"Write the fixed address of the NIC on {network.name}, or choose DHCP.", fields={"nics": ["address"]})
    stays = before is not None and network is not None and before.network_id == network.pk and row.is_fixed
    return NicSpec(
        network=network,
        name=row.name,
        address4=row.address4 if row.is_fixed and network is not None else "",
        address6=row.address6 if row.is_fixed and network is not None and row.address6 else _kept6(row, before if stays else None),
        rate_kbit=_kbit(row.rate),
    )


def _kept6(row: NicRow, before: Nic | None) -> str:
    return before.address6 or "" if before is not None and before.address4 == row.address4 else ""


def _kbit(text: str) -> int:
    """Of Mbit/s. Raises: Invalid."""
    try:
        kbit = float(text.replace(",", ".") or 0) * KBIT
        return round(kbit) or (1 if kbit else 0)  # what is too small is refused by the service, and is no "no limit"
    except (ValueError, OverflowError) as error:
        raise Invalid(f"“{text[:20]}” is no rate. Write Mbit/s, such as 10 or 0.5.", fields={"rate_kbit": [text[:20]]}) from error
