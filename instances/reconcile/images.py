"""Builds and erases images on this host. Called by tasks and the sweep, under a lock of the image."""

import dataclasses
import logging
from pathlib import Path
from uuid import UUID

from django.db import transaction

from instances.hypervisor.base import Hypervisor
from instances.imaging.base import BuildJob, BuildReport, ImagingError, Recipe
from instances.imaging.builder import build
from instances.imaging.hello import build_hello
from instances.models import Image, Instance, Upload
from instances.reconcile.drivers import hypervisor
from instances.reconcile.machine import DIGEST, image_path
from instances.services.uploads import discard, path_of
from instances.states import Desired
from opsweb.core import events, operations
from opsweb.core.models import Operation
from opsweb.core.queue import enqueue
from opsweb.environment import env

log = logging.getLogger(__name__)

# Two images may share one file; who adds or drops a row's claim to a digest holds this.
ALL_IMAGES = UUID(int=0)


def converge_image(image_id: UUID) -> None:
    """Build it when it is wanted and not there, erase it when it is not wanted."""
    driver = hypervisor()
    with driver.lock(image_id):
        image = Image.objects.select_related("host", "program_upload", "files_upload").filter(pk=image_id).first()
        if image is None:
            return
        operation = operations.active("image", image.pk)
        if operation is not None:
            operations.claim(operation)
        if not image.is_wanted:
            _erase(driver, image, operation)
        elif not image.digest and not image.error:
            _build(driver, image, operation)


def _build(driver: Hypervisor, image: Image, operation: Operation | None) -> None:
    output = env.state_dir / "images" / f"{image.pk}.new"
    try:
        with operations.step(operation, "build"):
            report = build_hello(output) if image.recipe.get("builtin") == "hello" else build(_job(image, output))
    except ImagingError as error:
        _end(image, operation, error)
        return
    except Exception:  # a mistake of ours: whoever waits is told, and the sweep does not try for ever
        log.exception("image %s", image.pk)
        _end(image, operation, ImagingError("internal", "Something went wrong in the panel. The worker's log says what; tell an admin."))
        return
    with driver.lock(ALL_IMAGES):
        output.replace(image_path(report.digest))
        _take(image, report)
    _end(image, operation, None)


def _job(image: Image, output: Path) -> BuildJob:
    return BuildJob(
        program=_upload_path(image.program_upload),
        archive=_upload_path(image.files_upload),
        recipe=_recipe(image.recipe),
        output=output,
        uid=env.uid_base,
    )


def _upload_path(upload: Upload | None) -> Path | None:
    return path_of(upload.pk) if upload else None


def _recipe(saved: dict[str, object]) -> Recipe:
    """JSON knows no tuples."""
    return Recipe(**{name: _tuple(value) for name, value in saved.items()})  # type: ignore[arg-type]


def _tuple(value: object) -> object:
    return tuple(_tuple(item) for item in value) if isinstance(value, list) else value


def _take(image: Image, report: BuildReport) -> None:
    facts = dataclasses.asdict(report)
    image.digest, image.size = report.digest, report.size
    image.notes = [*image.notes, *({"field": "", "note": note} for note in report.notes)]
    image.facts = {name: facts[name] for name in ("program", "interpreter", "libraries", "hosts", "files")}
    image.save(update_fields=["digest", "size", "notes", "facts"])


def _end(image: Image, operation: Operation | None, error: ImagingError | None) -> None:
    with transaction.atomic():
        if error is not None:
            Image.objects.filter(pk=image.pk).update(error=error.message)
        else:
            _discard_uploads(image)
        if operation is not None:
            status = Operation.Status.FAILED if error else Operation.Status.SUCCEEDED
            operations.finish(operation, status, error.code if error else "", error.message if error else "")
        events.changed("image", image.pk, image.team_id)
        waiting = Instance.objects.filter(image=image, desired__in=(Desired.RUNNING, Desired.PAUSED))
        for instance_id in waiting.values_list("pk", flat=True):
            enqueue("instances.converge", image.host.queue, str(instance_id))


def _discard_uploads(image: Image) -> None:
    """What was built needs its uploads no more, unless another image waits for them."""
    for upload in (image.program_upload, image.files_upload):
        others = Image.objects.filter(digest="", error="").exclude(pk=image.pk)
        if upload and not others.filter(program_upload=upload).exists() and not others.filter(files_upload=upload).exists():
            discard(upload)


def _erase(driver: Hypervisor, image: Image, operation: Operation | None) -> None:
    with driver.lock(ALL_IMAGES), transaction.atomic():
        Image.objects.filter(pk=image.pk).delete()
        if DIGEST.fullmatch(image.digest) and not Image.objects.filter(digest=image.digest).exists():
            image_path(image.digest).unlink(missing_ok=True)
        if operation is not None:
            operations.finish(operation, Operation.Status.SUCCEEDED)
        events.changed("image", image.pk, image.team_id)
