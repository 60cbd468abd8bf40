"""hosts/: what the form of a new network asks of the host. Reads only."""

from django.db.models import Q
from django.http import HttpRequest
from ninja import Router
from pydantic import BaseModel

from networks.models import PublishedAddress
from opsweb.core.access import Actor, Scope
from opsweb.core.models import Host
from opsweb.teams.api.answers import Page
from opsweb.teams.api.auth import caller

router = Router()


class AdapterOut(BaseModel):
    """A link of the host that could become an uplink."""

    name: str
    addresses: list[str]
    is_up: bool


class PublishedOut(BaseModel):
    """An address that forwards may bind beside 127.0.0.1, with the ports that go with it."""

    address: str
    port_first: int
    port_last: int


class HostOut(BaseModel):
    """A host; `platform` names the cloud it stands in, whose own network is the better one. `adapters` are a superuser's to see."""

    name: str
    platform: str
    adapters: list[AdapterOut]
    published: list[PublishedOut]


@router.get("", response=Page[HostOut], url_name="list_hosts")
def list_hosts(request: HttpRequest) -> Page[HostOut]:
    """All hosts."""
    actor = caller(request)
    hosts = list(Host.objects.order_by("name")) if Scope.READ in actor.scopes else []
    items = [_host_out(host, actor, _published(host, actor)) for host in hosts]
    return Page(items=items, count=len(items))


def _published(host: Host, actor: Actor) -> list[PublishedAddress]:
    rows = PublishedAddress.objects.filter(host=host)
    return list(rows if actor.superuser else rows.filter(Q(teams=None) | Q(teams__in=list(actor.roles))).distinct())


def _host_out(host: Host, actor: Actor, published: list[PublishedAddress]) -> HostOut:
    facts = host.network_facts
    return HostOut(
        name=host.name,
        platform=facts.get("platform", ""),
        adapters=[AdapterOut(**adapter) for adapter in facts.get("adapters", []) if actor.superuser],
        published=[PublishedOut(**{name: getattr(row, name) for name in PublishedOut.model_fields}) for row in published],
    )
