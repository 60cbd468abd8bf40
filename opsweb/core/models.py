"""The shared rows: hosts, operations, audit entries."""

import uuid
from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.db.models import Q


class Host(models.Model):
    """A machine that runs VMs. Its name is the name of its worker's queue."""

    name = models.SlugField(max_length=40, unique=True)
    arch = models.CharField(max_length=16, default="x86_64")
    vcpus = models.PositiveIntegerField(default=0)
    memory_mib = models.PositiveIntegerField(default=0)
    accelerator = models.CharField(max_length=8, blank=True, help_text="Found by a real boot: kvm or tcg.")
    accelerator_note = models.CharField(max_length=500, blank=True)
    limits_note = models.CharField(max_length=500, blank=True, help_text="Why cgroup limits do not hold here; empty where they do.")
    network_facts = models.JSONField(
        default=dict,
        blank=True,
        help_text='{"routes": [[CIDR, link]], "adapters": [{"name", "addresses", "is_up"}], "resolvers", "platform"}',
    )
    filter_applied = models.CharField(max_length=64, blank=True, editable=False, help_text="Digest of the networks' filter last applied.")
    counted_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="When the filter's counters were read last.")
    boot_id = models.CharField(max_length=36, blank=True, editable=False)
    is_draining = models.BooleanField(default=False, help_text="Nothing is to run here until the next worker comes up.")
    schedulable = models.BooleanField(default=True)
    worker_seen_at = models.DateTimeField(null=True, blank=True)
    watcher_seen_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name

    @property
    def queue(self) -> str:
        """The celery queue of its worker."""
        return f"host.{self.name}"


class Operation(models.Model):
    """One piece of work that somebody asked for, and how far it is."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        SUPERSEDED = "superseded"

    ACTIVE = (Status.QUEUED, Status.RUNNING)

    has_news = False  # steps that are not written down yet
    kept_at = 0.0  # when they were last, on time.monotonic()'s clock

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=20)
    target_id = models.UUIDField()
    target_label = models.CharField(max_length=80)
    team = models.ForeignKey("teams.Team", on_delete=models.CASCADE, related_name="operations")
    verb = models.CharField(max_length=20)
    status = models.CharField(max_length=12, choices=Status, default=Status.QUEUED)
    steps = models.JSONField(default=list, help_text='[{"name", "started" (seconds since the epoch), "ms"}]')
    progress = models.CharField(max_length=200, blank=True)
    requested_by = models.CharField(max_length=150)
    error_code = models.CharField(max_length=40, blank=True)
    error_message = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)
        constraints = [
            models.UniqueConstraint(
                fields=("kind", "target_id"),
                condition=Q(status__in=("queued", "running")),
                name="one_active_operation_per_target",
            ),
        ]
        indexes = [models.Index(fields=("team", "-created_at")), models.Index(fields=("kind", "target_id", "-created_at"))]

    def __str__(self) -> str:
        return f"{self.verb} {self.target_label}"

    @property
    def is_active(self) -> bool:
        """Whether it is still to be done or being done."""
        return self.status in self.ACTIVE


class AppendOnly(models.QuerySet["AuditEntry"]):
    """Rows that are read and inserted, nothing else."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("The audit log is only appended to.")

    update = bulk_update = delete = bulk_create = update_or_create = _refuse


class AuditEntry(models.Model):
    """Who did what. Written by core.audit alone, never changed; chained by core.chain.

    It keeps the ids of people and teams that are gone: another value there would be another entry.
    """

    at = models.DateTimeField(editable=False)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    actor_name = models.CharField(max_length=150)
    via = models.CharField(max_length=10)
    verb = models.CharField(max_length=40)
    kind = models.CharField(max_length=20)
    target_id = models.CharField(max_length=40)
    target_label = models.CharField(max_length=150)
    team = models.ForeignKey("teams.Team", null=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    details = models.JSONField(default=dict)
    request_id = models.CharField(max_length=40, blank=True)
    address = models.CharField(max_length=45, blank=True)
    previous = models.CharField(max_length=64, blank=True, editable=False, help_text="The hash of the entry before.")
    hash = models.CharField(max_length=64, editable=False, help_text="Of its own content and of `previous`.")

    objects = AppendOnly.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "audit entries"
        indexes = [models.Index(fields=("team", "-id")), models.Index(fields=("kind", "target_id", "-id"))]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.verb} {self.target_label}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises: TypeError for one that is written already."""
        if not self._state.adding:
            raise TypeError("An audit entry is never changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises: TypeError."""
        raise TypeError("An audit entry is never deleted.")


class AuditChain(models.Model):
    """Where the chain of audit entries begins and ends: one row, locked by whoever appends."""

    anchor = models.CharField(max_length=64, blank=True, help_text="The hash of the last entry that is kept no more.")
    previous = models.CharField(max_length=64, blank=True, help_text="The head before.")
    head = models.CharField(max_length=64, blank=True, help_text="The hash of the newest entry.")

    def __str__(self) -> str:
        return self.head
