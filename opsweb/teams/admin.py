"""People, teams, members and tokens in the admin: what the panel has no page for yet, and mending by hand."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

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


admin.site.unregister(User)
admin.site.unregister(Group)  # teams and their roles stand in for groups


@admin.register(User)
class PersonAdmin(UserAdmin, AuditedAdmin):  # type: ignore[type-arg]
    """People. What they may do comes from their teams; a superuser may do everything."""

    form, add_form, change_password_form = UserChangeForm, UserCreationForm, AdminPasswordChangeForm
    list_display = ("username", "email", "is_active", "is_superuser", "last_login")
    list_filter = ("is_active", "is_superuser")
    fieldsets = (
        (None, {"fields": ("username", "password", "email")}),
        ("What they may do", {"fields": ("is_active", "is_superuser", "is_staff")}),
        ("When", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")


@admin.register(Team)
class TeamAdmin(AuditedAdmin):
    """Teams with their quota and members."""

    list_display = ("name", "quota_instances", "quota_vcpus", "quota_memory_mib", "quota_networks", "quota_addresses")
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
