"""networks/preview/: what a change would do to the host, as text, made by the functions that would do it. Nothing of it stays."""

from functools import partial

from django.http import HttpRequest
from ninja import Router
from pydantic import BaseModel

from networks.api.answers import WarningOut
from networks.api.lookup import visible_network
from networks.api.schemas import PreviewIn
from networks.change import Section, difference
from networks.dry_run import undone
from networks.fabric.base import FabricError, NetworkPlan
from networks.models import Network
from networks.seen import seen_plan
from networks.services import networks, rules
from networks.services.rules import RuleSpec
from opsweb.core.access import Actor
from opsweb.core.errors import Invalid, NotFound
from opsweb.teams.api.auth import caller
from opsweb.teams.api.lookup import team_named

router = Router()


class SectionOut(BaseModel):
    """One kind of thing on the host; lines of `text` begin with "+ " (comes), "- " (goes) or "  " (stays)."""

    title: str
    added: int
    removed: int
    text: str


class PreviewOut(BaseModel):
    """What would change; no section when nothing would. `warnings`: what the host has against the network as it is."""

    name: str
    sections: list[SectionOut]
    warnings: list[WarningOut]


@router.post("preview/", response=PreviewOut, url_name="preview_network")
def preview_network(request: HttpRequest, payload: PreviewIn) -> PreviewOut:
    """The change is judged as if it were made: it is refused here as it would be there."""
    actor = caller(request)
    before = visible_network(actor, payload.network) if payload.network else None
    old = _plan(before, actor) if before else None
    with undone():
        new = _plan(_saved(payload, before, actor), actor)
    sections = [_section_out(section) for section in difference(old, new)]
    return PreviewOut(name=new.name, sections=sections, warnings=before.warnings if before else [])


def _saved(payload: PreviewIn, network: Network | None, actor: Actor) -> Network:
    spec = payload.spec(payload.name or None, partial(team_named, actor))
    if network is None:
        network, _ = networks.create(team_named(actor, payload.team), spec, actor=actor)
    elif any(value is not None for value in vars(spec).values()):
        network, _ = networks.edit(network, spec, actor=actor)
    if payload.rules is not None:
        rules.set_rules(network, [RuleSpec(**vars(rule)) for rule in payload.rules], actor=actor)
    return network


def _plan(network: Network, actor: Actor) -> NetworkPlan:
    try:
        plan = seen_plan(network, actor)
    except FabricError as error:
        raise Invalid(error.message, code=error.code) from error
    if plan is None:
        raise NotFound
    return plan


def _section_out(section: Section) -> SectionOut:
    text = "\n".join(f"{line.mark or ' '} {line.text}" for line in section.lines)
    return SectionOut(title=section.title, added=section.added, removed=section.removed, text=text)
