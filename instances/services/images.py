"""Images: made from uploads and an OPS config, built by the worker, deleted when nothing runs them."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction

from instances.imaging.base import ImagingError, Recipe
from instances.imaging.opsconfig import OpsConfig, parse, recipe_from
from instances.models import NAME, Image, Upload
from instances.services.capacity import check_disk
from opsweb.core import access, audit, events, operations
from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, Invalid, NotFound
from opsweb.core.models import Host, Operation
from opsweb.core.queue import enqueue
from opsweb.environment import env
from opsweb.teams.models import Team
from opsweb.teams.services import lock_team

SPOOLED = 2  # an archive is unpacked into a spool before it becomes an image


def read_config(text: str) -> OpsConfig:
    """OPS's config.json. Raises: Invalid with line, column and the mend."""
    try:
        return parse(text)
    except ImagingError as error:
        known = ("field", "line", "column", "mend")
        fields = {name: [getattr(error, name)] for name in known if getattr(error, name, None)}
        raise Invalid(error.message, code=error.code, fields=fields) from error


def create(
    team: Team,
    name: str,
    *,
    actor: Actor,
    program: Upload | None,
    files: Upload | None,
    program_name: str = "",
    config: OpsConfig | None = None,
) -> tuple[Image, Operation]:
    """Write the image down and let the worker build it.

    Raises: NotFound, Forbidden; Invalid for a bad name, an unfinished upload or nothing to run; Conflict("name_taken").
    """
    access.require(actor, "image.create", team.pk)
    check_name(name)
    _check_uploads(team, program, files)
    check_disk(SPOOLED * sum(upload.size for upload in (program, files) if upload))
    image = Image(team=team, name=name, host=Host.objects.get(name=env.host), program_upload=program, files_upload=files)
    image.recipe = dataclasses.asdict(_recipe(config, program_name or name) if program else _recipe_inside(config, program_name))
    image.defaults = defaults_of(config) | bridging_of(config) if config else {}
    image.notes = notes_of(config) if config else []
    image.created_by_id = actor.user_id
    return image, _save(image, actor)


def _save(image: Image, actor: Actor) -> Operation:
    try:
        with transaction.atomic():
            image.save(force_insert=True)
            operation = operations.begin(actor, "build", kind="image", target_id=image.pk, label=image.name, team_id=image.team_id)
            audit.record(actor, "image.create", kind="image", target_id=image.pk, label=image.name, team_id=image.team_id)
            enqueue("instances.build_image", image.host.queue, str(image.pk))
            events.changed("image", image.pk, image.team_id)
    except IntegrityError as error:
        raise Conflict(f"The team has an image called {image.name}. Take another name, or delete that one.", code="name_taken") from error
    return operation


def delete(image: Image, *, actor: Actor) -> Operation:
    """Let the worker remove it. Raises: NotFound, Forbidden; Conflict("in_use") that names the instances."""
    access.require(actor, "image.delete", image.team_id)
    with transaction.atomic():
        lock_team(image.team_id)  # a create of an instance takes it too
        operation = operations.begin(actor, "delete", kind="image", target_id=image.pk, label=image.name, team_id=image.team_id)
        users = list(image.instances.values_list("name", flat=True)[:5])
        if users:
            raise Conflict(f"Image {image.name} is used by {', '.join(users)}. Delete those first.", code="in_use")
        Image.objects.filter(pk=image.pk).update(is_wanted=False)
        audit.record(actor, "image.delete", kind="image", target_id=image.pk, label=image.name, team_id=image.team_id)
        enqueue("instances.erase_image", image.host.queue, str(image.pk))
        events.changed("image", image.pk, image.team_id)
    return operation


def check_name(name: str) -> None:
    """Raises: Invalid unless it is a name of ours (INV-11)."""
    if not re.match(NAME.regex, name):
        raise Invalid(f"“{name}” is no name. {NAME.message}", fields={"name": [NAME.message]})


def _check_uploads(team: Team, program: Upload | None, files: Upload | None) -> None:
    if program is None and files is None:
        raise Invalid("There is nothing to run: upload a program, or an archive that holds one.", fields={"program": ["missing"]})
    for upload in (program, files):
        if upload is not None and upload.team_id != team.pk:  # SEC-F1: bytes do not change teams
            raise NotFound
        if upload is not None and not upload.is_complete:
            raise Invalid(
                f"{upload.filename} is not here yet: {upload.received} of {upload.size} bytes.", fields={"upload": [str(upload.pk)]}
            )


def _recipe(config: OpsConfig | None, program_name: str) -> Recipe:
    try:
        return recipe_from(config, program_name)
    except ImagingError as error:
        raise Invalid(error.message, code=error.code) from error


def _recipe_inside(config: OpsConfig | None, program_name: str) -> Recipe:
    """The program is a member of the archive: the config's, else the one that was named."""
    config = config or OpsConfig()
    return _recipe(dataclasses.replace(config, program=config.program or program_name), "")


def defaults_of(config: OpsConfig) -> dict[str, Any]:
    """What the config says about instances, as the keys of InstanceSpec; only what it says."""
    return {name: value for name in INSTANCE_FIELDS if (value := _plain(getattr(config, name, None)))}


def bridging_of(config: OpsConfig) -> dict[str, Any]:
    """What it says about bridged networking, beside the defaults: `services.bridging` makes NICs of it."""
    said = config.bridging.as_json()
    return {"bridging": said} if said else {}


INSTANCE_FIELDS: Sequence[str] = ("args", "env", "ports", "udp_ports", "memory_mib", "vcpus", "nameservers", "reboot_on_exit")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def notes_of(config: OpsConfig) -> list[dict[str, str]]:
    """What happens to the fields that the panel does not act on."""
    return [{"field": note.field, "note": note.note} for note in config.notes]
