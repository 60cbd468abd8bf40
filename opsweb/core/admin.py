"""Hosts, operations and the audit log in the admin; the last two are to be read only."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from opsweb.core.models import AuditEntry, Host, Operation


class ReadOnlyAdmin(ModelAdmin):
    """Rows that nobody edits by hand."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False


@admin.register(Host)
class HostAdmin(ReadOnlyAdmin):
    """What each host has."""

    list_display = ("name", "arch", "vcpus", "memory_mib", "accelerator", "worker_seen_at", "watcher_seen_at")


@admin.register(Operation)
class OperationAdmin(ReadOnlyAdmin):
    """What was asked for, and how it went."""

    list_display = ("created_at", "verb", "kind", "target_label", "status", "requested_by", "error_message")
    list_filter = ("status", "kind", "verb")
    search_fields = ("target_label",)


@admin.register(AuditEntry)
class AuditAdmin(ReadOnlyAdmin):
    """Who did what."""

    list_display = ("at", "actor_name", "via", "verb", "target_label", "team")
    list_filter = ("kind", "via")
    search_fields = ("actor_name", "target_label", "verb")
