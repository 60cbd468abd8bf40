"""Teams, members and tokens in the admin: how teams are managed until the panel has pages for it."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from opsweb.core import audit
from opsweb.teams.actors import actor_of
from opsweb.teams.models import Membership, Team, Token


class MembershipInline(TabularInline):
    """Members of a team."""

    model = Membership
    extra = 1
    autocomplete_fields = ("user",)


class AuditedAdmin(ModelAdmin):
    """Every write through the admin leaves an audit entry, as through every other door."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Called by Django after a change."""
        self._record(request, "change", obj)
        return super().log_change(request, obj, message)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Called by Django after an addition."""
        self._record(request, "add", obj)
        return super().log_addition(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Called by Django before a deletion."""
        for obj in queryset:
            self._record(request, "delete", obj)
        return super().log_deletions(request, queryset)

    def _record(self, request: HttpRequest, verb: str, obj: Any) -> None:
        kind = obj._meta.model_name
        team = obj.pk if isinstance(obj, Team) and verb != "delete" else None
        audit.record(
            actor_of(request), f"{kind}.{verb}", kind=kind, target_id=obj.pk, label=str(obj)[:150], team_id=team, details={"via": "admin"}
        )


@admin.register(Team)
class TeamAdmin(AuditedAdmin):
    """Teams with their quota and members."""

    list_display = ("name", "quota_instances", "quota_vcpus", "quota_memory_mib")
    search_fields = ("name",)
    inlines = (MembershipInline,)


@admin.register(Token)
class TokenAdmin(AuditedAdmin):
    """Tokens: to be looked at and revoked; `manage.py` and the API make them, because a secret is shown once."""

    list_display = ("label", "prefix", "user", "scopes", "expires_at", "last_used_at")
    readonly_fields = ("prefix", "last_used_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Not here."""
        return False
