"""The create page: one screen from a dropped program to a running instance."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from instances.forms import CreateForm
from instances.models import Image, Instance, Upload
from instances.services import bridging, images
from instances.views.present import image_badge
from networks.nic_rows import AS_IMAGE, NicRow
from networks.nic_rows import choices as nic_choices
from networks.services.forwards import published_here
from networks.views.present import platform
from opsweb.core import access
from opsweb.core.access import Actor
from opsweb.core.errors import NotFound, Refusal
from opsweb.teams.actors import actor_of
from opsweb.teams.chosen import team_of
from opsweb.teams.models import Team


@dataclass(frozen=True)
class Choice:
    """An image one may run, for the list."""

    image: Image
    label: str
    is_on: bool

    @property
    def bridging(self) -> str:
        """What its config says of networks, in short; "" when nothing."""
        return bridging.summary(self.image.defaults.get("bridging", {}))


def create(request: HttpRequest) -> HttpResponse:
    """Show the form; on POST make the image (of uploads) and the instance, and go to its page."""
    actor, team = actor_of(request), team_of(request)
    if team is None:
        return render(request, "instances/create.html", {"form": CreateForm(), "choices": []})
    if request.method != "POST":
        return _form_page(
            request,
            team,
            _first_form(request, actor, team),
            actor,
        )
    form = CreateForm(request.POST)
    if form.is_valid():
        try:
            instance, notes = _make(form, team, actor)
        except Refusal as error:
            form.add_refusal(error)
        else:
            for note in notes:
                messages.success(request, note["note"])
            return redirect("instances:detail", instance_id=instance.pk)
    return _form_page(request, team, form, actor, status=422)


@transaction.atomic
def _make(form: CreateForm, team: Team, actor: Actor) -> tuple[Instance, bridging.Notes]:
    """Both or none: an image of a refused instance would have eaten the uploads that the corrected form names again."""
    values = form.cleaned_data
    if values["image"]:
        image = access.get_or_404(actor, Image.objects.filter(is_wanted=True).select_related("host"), pk=values["image"], team=team)
    else:
        image = _image(values, team, actor)
    spec = form.spec(blank_is_default=True, nics=form.nics(team.pk))
    instance, _, notes = bridging.create(team, values["name"], image, spec, actor=actor)
    return instance, notes


def _image(values: dict[str, Any], team: Team, actor: Actor) -> Image:
    config = images.read_config(values["config"]) if values["config"].strip() else None
    image, _ = images.create(
        team,
        _free_name(Image, team, values["name"]),
        actor=actor,
        program=_upload(values["program"], team, actor),
        files=_upload(values["archive"], team, actor),
        program_name=values["program_name"],
        config=config,
    )
    return image


def _upload(identifier: UUID | None, team: Team, actor: Actor) -> Upload | None:
    return access.get_or_404(actor, Upload.objects.all(), pk=identifier, team=team) if identifier else None


def _free_name(model: type[Image] | type[Instance], team: Team, wanted: str) -> str:
    """`wanted`, or with the first number that makes it free in the team."""
    taken = set(model.objects.filter(team=team, name__startswith=wanted[:36]).values_list("name", flat=True))
    candidates = [wanted, *(f"{wanted[:36]}-{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in candidates if name not in taken)


def _first_form(request: HttpRequest, actor: Actor, team: Team) -> CreateForm:
    """With what the link names; of an image whose config speaks of bridged networking that comes first."""
    image = _linked(Image, actor, team, request.GET.get("image", ""))
    network = request.GET.get("network", "") or (AS_IMAGE if image and image.defaults.get("bridging") else "")
    return CreateForm(initial=_initial(request, actor, team), nic_rows=[NicRow(network=network)])


def _initial(request: HttpRequest, actor: Actor, team: Team) -> dict[str, Any]:
    """From the link: `?image=` of an image's page, `?program=` or `?archive=` of a file dropped on another page."""
    initial: dict[str, Any] = {}
    for kind in ("program", "archive"):
        upload = _linked(Upload, actor, team, request.GET.get(kind, ""))
        if upload:
            initial |= {kind: upload.pk, f"{kind}_name": upload.filename, "name": name_from(upload.filename)}
    image = _linked(Image, actor, team, request.GET.get("image", ""))
    if image:
        initial |= {"image": image.pk, "name": _free_name(Instance, team, image.name)}
    if initial.get("name"):
        initial["name"] = _free_name(Instance, team, initial["name"])
    return initial


def _linked(model: type[Any], actor: Actor, team: Team, identifier: str) -> Any:
    try:
        return access.get_or_404(actor, model.objects.all(), pk=UUID(identifier), team=team)
    except (ValueError, NotFound):
        return None


def name_from(filename: str) -> str:
    """A name of ours out of a file's: "My App_v2.tar.gz" → "my-app-v2"."""
    stem = filename.rpartition("/")[2].split(".", 1)[0].lower()
    letters = "".join(c if c.isascii() and c.isalnum() else "-" for c in stem)
    return "-".join(part for part in letters.split("-") if part)[:40].strip("-") or "app"


def _form_page(request: HttpRequest, team: Team, form: CreateForm, actor: Actor, *, status: int = 200) -> HttpResponse:
    chosen = str(form["image"].value() or "")
    rows = access.visible(actor, Image.objects.filter(team=team, is_wanted=True)).order_by("-created_at")[:200]
    choices = [Choice(image, image_badge(image).label, str(image.pk) == chosen) for image in rows if image.state != "failed"]
    context = {"form": form, "choices": choices, "nic_choices": nic_choices(team.pk), "platform": platform()}
    context |= {"as_image": True, "published": published_here(team.pk)}
    return render(request, "instances/create.html", context, status=status)
