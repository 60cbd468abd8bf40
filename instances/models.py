"""Uploads, images and instances: the wish, and what was seen of it."""

import hashlib
import json
import uuid
from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone

from instances import hotplug
from instances.states import Desired, Observed

NAME = RegexValidator(
    r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?\Z", "Use lower-case letters, digits and hyphens, 40 at most, no hyphen at the ends."
)
ARCHITECTURES = (("x86_64", "x86-64"), ("aarch64", "ARM 64"))


class Upload(models.Model):
    """Bytes on their way in. They lie in `uploads/<id>` of the state directory and are never read by the web process."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey("teams.Team", on_delete=models.CASCADE, related_name="+")
    filename = models.CharField(max_length=200, help_text="For people; never a path on the host.")
    size = models.PositiveBigIntegerField(help_text="bytes, announced")
    received = models.PositiveBigIntegerField(default=0, help_text="bytes")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.filename

    @property
    def is_complete(self) -> bool:
        """Whether every announced byte is here."""
        return self.received == self.size


class Image(models.Model):
    """A program with its files, built once, run by any number of instances."""

    class Kind(models.TextChoices):
        PROGRAM = "program"

    class Runtime(models.TextChoices):
        LINUX = "linux"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey("teams.Team", on_delete=models.PROTECT, related_name="images")
    host = models.ForeignKey("core.Host", on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=40, validators=[NAME])
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.PROGRAM)
    runtime = models.CharField(max_length=10, choices=Runtime, default=Runtime.LINUX)
    arch = models.CharField(max_length=10, choices=ARCHITECTURES, default="x86_64")
    is_wanted = models.BooleanField(default=True, help_text="False: its files go, then the row.")
    recipe = models.JSONField(default=dict, help_text="What it is made of; instances.imaging.base.Recipe as JSON.")
    defaults = models.JSONField(default=dict, help_text="What config.json said about instances: args, env, ports, memory …")
    program_upload = models.ForeignKey(Upload, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    files_upload = models.ForeignKey(Upload, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    digest = models.CharField(max_length=64, blank=True, db_index=True, help_text="sha256 of the built archive; empty until it is built.")
    size = models.PositiveBigIntegerField(default=0, help_text="bytes")
    facts = models.JSONField(default=dict, help_text="What the builder reported: program, interpreter, libraries, hosts.")
    notes = models.JSONField(default=list, help_text='[{"field", "note"}]')
    error = models.TextField(blank=True, help_text="Why the last build failed.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)
        constraints = [models.UniqueConstraint(fields=("team", "name"), name="one_image_name_per_team")]

    def __str__(self) -> str:
        return self.name

    @property
    def state(self) -> str:
        """ "ready", "failed" or "building"."""
        if self.digest:
            return "ready"
        return "failed" if self.error else "building"


class Instance(models.Model):
    """A VM as somebody wants it, and as it was last seen."""

    class RestartPolicy(models.TextChoices):
        NEVER = "never"
        ON_FAILURE = "on-failure"
        ALWAYS = "always"

    # What a running VM was started with; a change of one of these shows as "restart to apply".
    BOOT_FIELDS = ("vcpus", "memory_mib", "args", "env", "secret_env", "hosts", "nameservers", "reboot_on_exit", "image_id", "nics")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey("teams.Team", on_delete=models.PROTECT, related_name="instances")
    host = models.ForeignKey("core.Host", on_delete=models.PROTECT, related_name="instances")
    image = models.ForeignKey(Image, on_delete=models.PROTECT, related_name="instances")
    name = models.CharField(max_length=40, validators=[NAME])
    uid_offset = models.PositiveIntegerField(help_text="Its own uid is OPSWEB_UID_BASE plus this; 0 is the image builder's.")
    arch = models.CharField(max_length=10, choices=ARCHITECTURES, default="x86_64")
    vcpus = models.PositiveSmallIntegerField("vCPUs", default=1, validators=[MinValueValidator(1), MaxValueValidator(64)])
    memory_mib = models.PositiveIntegerField("memory (MiB)", default=256, validators=[MinValueValidator(128), MaxValueValidator(1_048_576)])
    args = models.JSONField(default=list, blank=True)
    env = models.JSONField(default=dict, blank=True)
    secret_env = models.JSONField(default=list, blank=True, help_text="Names of env whose values are shown to nobody.")
    hosts = models.JSONField(default=dict, blank=True, help_text='{"bob": "10.0.2.2"} for the guest\'s /etc/hosts')
    nameservers = models.JSONField(default=list, blank=True)
    reboot_on_exit = models.BooleanField(default=False)
    restart_policy = models.CharField(max_length=10, choices=RestartPolicy, default=RestartPolicy.NEVER)
    autostart = models.BooleanField(default=True, help_text="Comes back after a reboot of the host when it ran before.")

    desired = models.CharField(max_length=10, choices=[(d.value, d.value) for d in Desired], default=Desired.STOPPED)
    force = models.BooleanField(default=False, help_text="Do not ask the guest.")
    boots_wanted = models.PositiveIntegerField(default=0)
    boots_seen = models.PositiveIntegerField(default=0)
    end_by = models.DateTimeField(null=True, blank=True, help_text="The guest was asked to end and has time until then.")
    start_after = models.DateTimeField(null=True, blank=True, help_text="The restart policy's next try.")
    restarts = models.PositiveIntegerField(default=0, help_text="Tries of the restart policy in a row.")

    observed = models.CharField(max_length=10, choices=[(o.value, o.value) for o in Observed], default=Observed.UNKNOWN)
    observed_at = models.DateTimeField(null=True, blank=True)
    boot = models.CharField(max_length=36, blank=True, help_text="The driver's id of the boot last seen.")
    ended_boot = models.CharField(max_length=36, blank=True, help_text="The boot whose end was taken note of.")
    started_at = models.DateTimeField(null=True, blank=True)
    accepted_at = models.DateTimeField(null=True, blank=True, help_text="When the last start was asked for.")
    first_byte_at = models.DateTimeField(null=True, blank=True, help_text="First console byte of this boot.")
    milestones = models.JSONField(default=dict, help_text="name → seconds since the epoch, of this boot")
    exit = models.JSONField(null=True, blank=True, help_text='{"reason", "code", "signal", "message", "at"} of the last boot')
    applied = models.JSONField(default=dict, help_text="BOOT_FIELDS as this boot got them; env as a digest.")
    limits_note = models.CharField(max_length=500, blank=True)
    message = models.TextField(blank=True, help_text="Why the last step failed.")

    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)
        constraints = [
            models.UniqueConstraint(fields=("team", "name"), name="one_instance_name_per_team"),
            models.UniqueConstraint(fields=("host", "uid_offset"), name="one_uid_per_instance"),
        ]
        indexes = [models.Index(fields=("host", "desired"))]

    def __str__(self) -> str:
        return self.name

    @property
    def is_up(self) -> bool:
        """Whether a process of it was there at the last look."""
        return self.observed in (Observed.RUNNING, Observed.PAUSED)

    @property
    def is_held(self) -> bool:
        """Whether the restart policy lets time pass before the next start."""
        return self.start_after is not None and self.start_after > timezone.now()

    @property
    def restart_to_apply(self) -> list[str]:
        """Fields that differ from what the running VM was started with; not `nics` where what differs is on its way."""
        if not self.is_up or not self.applied:
            return []
        now = self.boot_values()
        differ = [field for field in self.BOOT_FIELDS if field in self.applied and self.applied[field] != now[field]]
        if "nics" in differ and all(mark.label == hotplug.LIVE for mark in self.nic_marks.values()):
            differ.remove("nics")
        return differ

    @property
    def nic_marks(self) -> dict[str, hotplug.Mark]:
        """Tag of a NIC that differs from what the running VM has → what becomes of it. Prefetch `nics`."""
        if not self.is_up or not self.applied:
            return {}
        return hotplug.marks(self.applied.get("nics", []), self.boot_values()["nics"], self.applied.get("nic_notes", {}))

    def boot_values(self) -> dict[str, Any]:
        """BOOT_FIELDS as comparable JSON; env only as a digest, so that no secret is kept twice. Prefetch `nics`."""
        values = {field: getattr(self, field) for field in self.BOOT_FIELDS if field != "nics"}
        nics = [
            {"tag": nic.tag, "mac": nic.mac, "network": str(nic.network_id or ""), "fixed": nic.is_fixed}
            | {"address4": nic.address4 or "", "address6": nic.address6 or ""}
            for nic in self.nics.all()
        ]
        return values | {"env": _digest(self.env), "image_id": str(self.image_id), "nics": nics}


def _digest(env: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(env, sort_keys=True).encode()).hexdigest()
