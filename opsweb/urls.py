"""Every URL of the panel."""

from django.contrib import admin
from django.urls import include, path

from instances.api import api
from opsweb.core.health import healthz
from opsweb.core.views import admin_sign_in
from opsweb.teams import audit_pages

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("admin/login/", admin_sign_in, name="admin-sign-in"),
    path("admin/", admin.site.urls),
    path("api/v1/", api.urls),
    path("audit/", audit_pages.index, name="audit"),
    path("audit/export.<slug:form>", audit_pages.export, name="audit-export"),
    path("networks/", include("networks.urls")),
    path("", include("opsweb.teams.urls")),
    path("", include("instances.urls")),
]

handler500 = "opsweb.core.views.server_error"
