"""Networks in the admin: to look at; and what only an admin of the panel may say: who shares, who is linked, what is published."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from networks.models import Group, Network, Nic, PortForward, PublishedAddress, Rule
from networks.services.networks import NetworkSpec, edit, link
from networks.services.publishing import settled
from opsweb.core.admin import ReadOnlyAdmin
from opsweb.core.errors import Refusal
from opsweb.teams.actors import actor_of
from opsweb.teams.admin import AuditedAdmin

ADMINS_WORD = ("shared_with", "linked")


@admin.register(Network)
class NetworkAdmin(ModelAdmin):
    """Every team's networks. What can be changed here goes through the services, as everywhere."""

    list_display = ("name", "team", "host", "mode", "cidr4", "cidr6", "observed", "desired")
    list_filter = ("observed", "mode", "team", "host")
    search_fields = ("name", "cidr4")
    filter_horizontal = ADMINS_WORD

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """All but the admins' word."""
        return [field.name for field in Network._meta.fields if field.name not in ADMINS_WORD]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Not here: the panel's form says what is free."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Not here: the worker takes it away first."""
        return False

    def save_model(self, request: HttpRequest, obj: Network, form: Any, change: bool) -> None:
        """Nothing: the services write."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Share and link; a refusal is said."""
        try:
            if "linked" in form.changed_data:
                link(form.instance, form.cleaned_data["linked"], actor=actor_of(request))
            if "shared_with" in form.changed_data:
                edit(form.instance, NetworkSpec(shared_with=list(form.cleaned_data["shared_with"])), actor=actor_of(request))
        except Refusal as refusal:
            messages.error(request, refusal.message)


@admin.register(PublishedAddress)
class PublishedAddressAdmin(AuditedAdmin):
    """Addresses of the host that teams may open ports on. Taking one away closes what is open on it."""

    list_display = ("address", "port_first", "port_last", "host")
    filter_horizontal = ("teams",)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Add and change."""
        with settled():
            return super().changeform_view(request, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Delete one."""
        with settled():
            return super().delete_view(request, *args, **kwargs)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        """Delete those that were ticked."""
        with settled():
            super().delete_queryset(request, queryset)


@admin.register(Nic)
class NicAdmin(ReadOnlyAdmin):
    """Every NIC with its addresses."""

    list_display = ("instance", "name", "network", "mac", "address4", "address6", "is_fixed")
    list_filter = ("network",)
    search_fields = ("mac", "address4", "address6")


@admin.register(PortForward)
class PortForwardAdmin(ReadOnlyAdmin):
    """Every port of a host that leads to a guest."""

    list_display = ("host", "protocol", "host_address", "host_port", "guest_port", "team", "nic")
    list_filter = ("team", "host")


@admin.register(Rule)
class RuleAdmin(ReadOnlyAdmin):
    """Every rule."""

    list_display = ("team", "network", "instance", "position", "action", "direction", "protocol", "port_first", "port_last")
    list_filter = ("team",)


@admin.register(Group)
class GroupAdmin(ReadOnlyAdmin):
    """Every group of instances."""

    list_display = ("name", "team")
    list_filter = ("team",)
