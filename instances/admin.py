"""Instances and images in the admin: to look at. Changes go through the panel, whose services hold the rules."""

from django.contrib import admin

from instances.models import Image, Instance
from opsweb.core.admin import ReadOnlyAdmin


@admin.register(Instance)
class InstanceAdmin(ReadOnlyAdmin):
    """Every team's instances."""

    list_display = ("name", "team", "host", "observed", "desired", "vcpus", "memory_mib", "image")
    list_filter = ("observed", "team", "host")
    search_fields = ("name",)
    exclude = ("env",)


@admin.register(Image)
class ImageAdmin(ReadOnlyAdmin):
    """Every team's images."""

    list_display = ("name", "team", "runtime", "size", "digest", "created_at")
    list_filter = ("team",)
    search_fields = ("name",)
