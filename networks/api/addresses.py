"""networks/{id}/addresses/ and leases/: who has which address, and what the DHCP server has given out."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router
from pydantic import BaseModel, ConfigDict

from networks import sharing, shown
from networks.models import Network
from opsweb.core.errors import NotFound
from opsweb.teams.api.answers import Page
from opsweb.teams.api.auth import caller
from opsweb.teams.api.schemas import PageQuery

router = Router()


class AddressOut(BaseModel):
    """An address, or a run of free ones. `state`: gateway, leased, reserved, record, free, foreign (leased, and reserved no more)."""

    model_config = ConfigDict(from_attributes=True)

    state: str
    first: str
    last: str
    count: int
    address6: str
    mac: str
    nic: str
    instance: str
    instance_id: UUID | None
    is_fixed: bool
    lease_expires_at: datetime | None


class AddressesOut(Page[AddressOut]):
    """With how many IPv4 addresses NICs have, how many of those are leased, and how many are free."""

    reserved: int
    leased: int
    free: int


class LeaseOut(BaseModel):
    """What dnsmasq has given out; `instance` is "" when the address is no NIC's any more."""

    model_config = ConfigDict(from_attributes=True)

    address: str
    mac: str
    name: str
    instance: str
    instance_id: UUID | None
    expires_at: datetime | None


@router.get("{uuid:network_id}/addresses/", response=AddressesOut, url_name="list_addresses")
def list_addresses(request: HttpRequest, network_id: UUID, query: Annotated[PageQuery, Query()]) -> AddressesOut:
    """Its whole IPv4 range in order. What other teams have on a shared network is not named."""
    network = _fetch(request, network_id)
    rows = shown.addresses(network, caller(request))
    part = [AddressOut.model_validate(row) for row in rows[query.offset : query.offset + query.limit]]
    return AddressesOut(items=part, count=len(rows), **vars(shown.usage(network, rows)))


@router.get("{uuid:network_id}/leases/", response=Page[LeaseOut], url_name="list_leases")
def list_leases(request: HttpRequest, network_id: UUID, query: Annotated[PageQuery, Query()]) -> Page[LeaseOut]:
    """In order of address."""
    rows = shown.leases(_fetch(request, network_id), caller(request))
    part = [LeaseOut.model_validate(row) for row in rows[query.offset : query.offset + query.limit]]
    return Page(items=part, count=len(rows))


def _fetch(request: HttpRequest, network_id: UUID) -> Network:
    """With NICs and leases. Raises: NotFound."""
    found = shown.with_nics(sharing.visible(caller(request))).filter(pk=network_id).first()
    if found is None:
        raise NotFound
    return found
