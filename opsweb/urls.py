"""Every URL of the panel."""

from django.contrib import admin
from django.urls import include, path

from instances.api import api
from opsweb.core.health import healthz

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("admin/", admin.site.urls),
    path("api/v1/", api.urls),
    path("", include("instances.urls")),
]
